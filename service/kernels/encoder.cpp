#include "encoder.h"

#include <algorithm>
#include <numeric>

#include "division.h"
#include "head.h"

namespace intbert {
namespace {

// Rows of a block pass through all of a layer while their sums and wide activations stay in the second-level cache.
constexpr std::size_t block_rows_max = 128;

// Up to so many rows a thread the threads of a team divide columns: measured.
constexpr std::size_t rows_by_columns_max = 16;

// Packing a key and its value costs as much as so many queries on it: measured.
constexpr std::size_t packing_queries = 12;

// One thread's pass over the model. What it reads of other threads' work is behind a barrier.
class Pass {
public:
    Pass(const Model& model, const Batch& batch, const Workspace& workspace, Team& team, std::size_t thread)
        : model_(model),
          kernels_(model.kernels()),
          batch_(batch),
          space_(workspace),
          team_(team),
          thread_(thread),
          tokens_(batch.tokens, rows_by_columns_max, thread, team.threads()),
          first_(batch.sequences, rows_by_columns_max, thread, team.threads()),
          scratch_(workspace.attention + thread * workspace.attention_bytes) {}

    void run(std::int32_t* logits) {
        embed();
        for (std::size_t i = 0; i < model_.layers.size(); ++i) layer(i);
        if (!model_.pooler) return output_rows(tokens_, space_.tokens.view, logits);
        if (model_.layers.empty()) {
            meet_by_rows(tokens_);
            gather_first();
        }
        pooled_logits(logits);
    }

private:
    // Blocks of even size of this thread's rows, or all rows at once by columns.
    template <class Body>
    void for_each_block(const Division& division, Body body) {
        const Range rows = division.rows();
        const std::size_t count = rows.end - rows.begin;
        const std::size_t blocks = division.by_columns ? 1 : (count + space_.block_rows - 1) / space_.block_rows;
        for (std::size_t i = 0; i < blocks; ++i) {
            const Range block = share(count, i, blocks);
            body(Range{rows.begin + block.begin, rows.begin + block.end});
        }
    }

    // After a stage by columns: the next one reads all of them.
    void meet(const Division& division) {
        if (division.by_columns) team_.barrier();
    }

    // Where other threads' rows are read.
    void meet_by_rows(const Division& division) {
        if (!division.by_columns) team_.barrier();
    }

    Activations view_of(const State& state, Range rows) const {
        return {state.view + rows.begin * model_.stride(), model_.stride(), rows.end - rows.begin};
    }

    // The buffers of a block between two stages: by columns shared by the threads, otherwise a thread's own.
    std::int32_t* sums(const Division& division) const {
        return space_.sums + (division.by_columns ? 0 : thread_ * space_.block_rows * model_.stride());
    }
    std::uint8_t* wide(const Division& division) const {
        return space_.wide + (division.by_columns ? 0 : thread_ * space_.block_rows * model_.intermediate());
    }

    // By columns: this thread's own rows, between the others' sums before and the use of all rows afterwards.
    void normalise(const LayerNorm& norm, const Division& division, const State& state, Range rows) {
        meet(division);
        const Range own = division.by_columns ? division.own : rows;
        const std::size_t stride = model_.stride(), at = own.begin * stride;
        kernels_.layer_norm(norm, sums(division) + (own.begin - rows.begin) * stride, own.end - own.begin, stride,
                            state.residual + at, state.view + at);
        meet(division);
    }

    void embed() {
        for_each_block(tokens_, [&](Range rows) {
            const Range own = tokens_.by_columns ? tokens_.own : rows;
            kernels_.embed(model_.embedding, batch_.token_ids + own.begin, batch_.type_ids + own.begin,
                           space_.positions + own.begin, own.end - own.begin,
                           sums(tokens_) + (own.begin - rows.begin) * model_.stride());
            normalise(model_.embedding_norm, tokens_, space_.tokens, rows);
            project(0, rows);
        });
    }

    bool first_only(std::size_t i) const { return model_.pooler.has_value() && i + 1 == model_.layers.size(); }

    // Heads that fill whole blocks of columns together.
    std::size_t heads_per_unit() const { return std::lcm(model_.head_dim(), block_columns) / model_.head_dim(); }

    // By columns: the heads whose queries, keys, values and context this thread computes.
    Range own_heads(const Division& division) const {
        const std::size_t unit = heads_per_unit();
        const Range units = division.columns((model_.heads() + unit - 1) / unit);
        return {units.begin * unit, std::min(units.end * unit, model_.heads())};
    }

    // The column blocks of those heads.
    Range own_head_blocks(const Division& division) const {
        const Range heads = own_heads(division);
        const auto block = [&](std::size_t head) {
            return (head * model_.head_dim() + block_columns - 1) / block_columns;
        };
        return {block(heads.begin), block(heads.end)};
    }

    // Q, K, V of layer i for rows whose view was just computed; the last layer needs few queries.
    void project(std::size_t i, Range rows) {
        if (i == model_.layers.size()) return;
        const Layer& layer = model_.layers[i];
        const std::size_t stride = 3 * model_.width(), width_blocks = model_.width() / block_columns;
        const Range blocks = own_head_blocks(tokens_);
        for (std::size_t part = first_only(i) ? 1 : 0; part < 3; ++part) {
            kernels_.linear_to_s8(layer.qkv, layer.attention.qkv_guard_bits, view_of(space_.tokens, rows),
                                  {part * width_blocks + blocks.begin, part * width_blocks + blocks.end},
                                  space_.qkv + rows.begin * stride, stride);
        }
    }

    // From layer i's Q, K, V of all rows to those of layer i + 1.
    void layer(std::size_t i) {
        const Layer& layer = model_.layers[i];
        meet_by_rows(tokens_);  // keys and values of whole sequences
        if (first_only(i)) {
            query_first(layer);
            attention(layer, first_, space_.first_query, model_.width());
            for_each_block(first_, [&](Range rows) { after_attention(layer, first_, first_state(), rows); });
            return;
        }
        attention(layer, tokens_, space_.qkv, 3 * model_.width());
        for_each_block(tokens_, [&](Range rows) {
            after_attention(layer, tokens_, space_.tokens, rows);
            project(i + 1, rows);
        });
    }

    // A single first token is where it is; several are gathered.
    const State& first_state() const { return batch_.sequences == 1 ? space_.tokens : space_.first; }

    void gather_first() {
        if (batch_.sequences == 1) return;
        for (std::size_t s = first_.own.begin; s < first_.own.end; ++s) {
            const std::size_t from = batch_.sequence(s).begin * model_.stride(), to = s * model_.stride();
            std::copy_n(space_.tokens.residual + from, model_.stride(), space_.first.residual + to);
            std::copy_n(space_.tokens.view + from, model_.stride(), space_.first.view + to);
        }
        meet(first_);
    }

    // Only what the pooler reads: the queries of first tokens.
    void query_first(const Layer& layer) {
        gather_first();
        const Range rows = first_.rows();
        kernels_.linear_to_s8(layer.qkv, layer.attention.qkv_guard_bits, view_of(first_state(), rows),
                              own_head_blocks(first_), space_.first_query + rows.begin * model_.width(),
                              model_.width());
        meet_by_rows(first_);
    }

    // Context of all queries: those of one row a token, or a sequence.
    void attention(const Layer& layer, const Division& division, const std::int8_t* query, std::size_t query_stride) {
        const bool first = &division == &first_;
        const auto queries = [&](std::size_t s) { return first ? Range{s, s + 1} : batch_.sequence(s); };
        const auto cost = [&](std::size_t s) {
            const Range rows = queries(s), keys = batch_.sequence(s);
            return (keys.end - keys.begin) * (rows.end - rows.begin + packing_queries);
        };
        std::size_t total = 0;
        for (std::size_t s = 0; s < batch_.sequences; ++s) total += cost(s) * model_.heads();
        HeadShare deal(total, thread_, division.threads);
        for (std::size_t s = 0; s < batch_.sequences; ++s) {
            const Range dealt = deal.next(model_.heads(), cost(s));
            const Range heads = division.by_columns ? own_heads(division) : dealt;
            attend(layer, query, query_stride, queries(s), batch_.sequence(s), heads);
        }
        team_.barrier();
    }

    // Query rows to context rows, on the keys and values of the tokens `keys`.
    void attend(const Layer& layer, const std::int8_t* query, std::size_t query_stride, Range rows, Range keys,
                Range heads) {
        const std::size_t width = model_.width(), stride = 3 * width;
        const std::int8_t* key = space_.qkv + keys.begin * stride + width;
        const LayerAttention& constants = layer.attention;
        for (std::size_t h = heads.begin; h < heads.end; ++h) {
            const std::size_t column = h * model_.head_dim();
            const AttentionHead head{
                .query = query + rows.begin * query_stride + column,
                .key = key + column,
                .value = key + width + column,
                .context = space_.context + rows.begin * width + column,
                .query_stride = query_stride,
                .key_value_stride = stride,
                .context_stride = width,
                .queries = rows.end - rows.begin,
                .keys = keys.end - keys.begin,
                .head_dim = model_.head_dim(),
                .score_shift = constants.score_shift[h],
                .score_multiplier = constants.score_multiplier[h],
                .exp_fraction_bits = constants.exp_fraction_bits,
                .context_multiplier = constants.context_multiplier[h],
            };
            kernels_.attend(head, scratch_);
        }
    }

    // From the context to the layer's output, for one block of rows.
    void after_attention(const Layer& layer, const Division& division, const State& state, Range rows) {
        const std::size_t count = rows.end - rows.begin, stride = model_.stride();
        const std::int16_t* residual = state.residual + rows.begin * stride;
        const Activations context{space_.context + rows.begin * model_.width(), model_.width(), count};
        kernels_.linear_to_sums(layer.attention_output, context, division.columns(layer.attention_output.blocks),
                                residual, sums(division), stride);
        normalise(layer.attention_norm, division, state, rows);
        const std::size_t wide_stride = layer.ffn_output.inputs;
        kernels_.linear_to_gelu(layer.ffn_input, layer.gelu, view_of(state, rows),
                                division.columns(layer.ffn_input.blocks), wide(division), wide_stride);
        meet(division);
        kernels_.linear_to_sums(layer.ffn_output, {wide(division), wide_stride, count},
                                division.columns(layer.ffn_output.blocks), residual, sums(division), stride);
        normalise(layer.ffn_norm, division, state, rows);
    }

    void pooled_logits(std::int32_t* logits) {
        const Range rows = first_.rows();
        const NarrowLinear& pooler = *model_.pooler;
        const Range blocks = first_.columns(pooler.blocks);
        const std::size_t stride = model_.stride(), at = rows.begin * stride;
        const Activations first = view_of(first_state(), rows);
        kernels_.linear_to_s32(pooler, first, blocks, space_.pooled_sums + at, stride);
        pooler_to_u8(pooler, model_.relu_guard_bits, kernels_.order, space_.pooled_sums + at, first.rows, stride,
                     blocks, space_.pooled + at);
        meet(first_);
        output_rows(first_, space_.pooled, logits);
    }

    void output_rows(const Division& division, const std::uint8_t* view, std::int32_t* logits) {  // (8.1)
        const Range rows = division.own;
        const std::size_t stride = model_.output_stride(), count = rows.end - rows.begin;
        std::int32_t* padded = space_.output + rows.begin * stride;
        kernels_.linear_to_s32(model_.output, {view + rows.begin * model_.stride(), model_.stride(), count},
                               {0, model_.output.blocks}, padded, stride);
        copy_outputs(kernels_.order, padded, count, stride, model_.outputs(), logits + rows.begin * model_.outputs());
    }

    const Model& model_;
    const KernelSet& kernels_;
    const Batch& batch_;
    const Workspace& space_;
    Team& team_;
    const std::size_t thread_;
    const Division tokens_;  // rows of tokens
    const Division first_;   // rows of first tokens, one a sequence
    std::byte* scratch_;
};

}  // namespace

std::size_t divide(std::byte* memory, const Model& model, const Batch& batch, std::size_t threads, Workspace& space) {
    Carver carver(memory);
    const std::size_t tokens = batch.tokens, sequences = batch.sequences, stride = model.stride(),
                      width = model.width();
    const bool pooled = model.pooler.has_value();
    const std::size_t first_rows = pooled ? sequences : 0;
    space.block_rows = std::min(block_rows_max, tokens);
    space.attention_bytes =
        round_up(model.kernels().attention_scratch_bytes(batch.longest, model.head_dim()), alignment);
    space.positions = carver.take<std::int32_t>(tokens);
    space.tokens = {carver.take<std::int16_t>(tokens * stride), carver.take<std::uint8_t>(tokens * stride)};
    space.first = {carver.take<std::int16_t>(first_rows * stride), carver.take<std::uint8_t>(first_rows * stride)};
    space.qkv = carver.take<std::int8_t>(tokens * 3 * width);
    space.first_query = carver.take<std::int8_t>(first_rows * width);
    space.context = carver.take<std::uint8_t>(tokens * width);
    space.pooled_sums = carver.take<std::int32_t>(first_rows * stride);
    space.pooled = carver.take<std::uint8_t>(first_rows * stride);
    space.output = carver.take<std::int32_t>((pooled ? sequences : tokens) * model.output_stride());
    space.sums = carver.take<std::int32_t>(threads * space.block_rows * stride);
    space.wide = carver.take<std::uint8_t>(threads * space.block_rows * model.intermediate());
    space.attention = carver.take<std::byte>(threads * space.attention_bytes);
    return carver.used();
}

void encode(const Model& model, const Batch& batch, const Workspace& workspace, Team& team, std::size_t thread,
            std::int32_t* logits) {
    Pass(model, batch, workspace, team, thread).run(logits);
}

}  // namespace intbert
