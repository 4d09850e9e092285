#include "encoder.h"

#include <algorithm>

#include "head.h"

namespace intbert {
namespace {

// Rows of a block pass through all of a layer while their sums and wide activations stay in the second-level cache.
constexpr std::size_t block_rows_max = 96;

Range share(std::size_t count, std::size_t part, std::size_t parts) {
    return {count * part / parts, count * (part + 1) / parts};
}

// One thread's pass over the model. Between two barriers a thread reads and writes only its own rows, except that
// attention reads the keys and values of whole sequences.
class Pass {
public:
    Pass(const Model& model, const Batch& batch, const Workspace& workspace, Team& team, std::size_t thread)
        : model_(model),
          kernels_(model.kernels()),
          batch_(batch),
          space_(workspace),
          team_(team),
          thread_(thread),
          rows_(share(batch.tokens, thread, team.threads())),
          sequences_(share(batch.sequences, thread, team.threads())),
          sums_(workspace.sums + thread * workspace.block_rows * model.stride()),
          wide_(workspace.wide + thread * workspace.block_rows * model.intermediate()),
          scratch_(workspace.attention + thread * workspace.attention_bytes) {}

    void run(std::int32_t* logits) {
        embed();
        for (std::size_t i = 0; i < model_.layers.size(); ++i) layer(i);
        if (!model_.pooler) return token_logits(logits);
        if (model_.layers.empty()) {
            team_.barrier();  // the first tokens are other threads' rows
            gather_first();
        }
        pooled_logits(logits);
    }

private:
    template <class Body>
    void for_each_block(Range rows, Body body) {
        for (std::size_t row = rows.begin; row < rows.end; row += space_.block_rows) {
            body(Range{row, std::min(row + space_.block_rows, rows.end)});
        }
    }

    Activations view_of(const State& state, Range rows) const {
        return {state.view + rows.begin * model_.stride(), model_.stride(), rows.end - rows.begin};
    }

    void normalise(const LayerNorm& norm, const State& state, Range rows) {
        const std::size_t at = rows.begin * model_.stride();
        kernels_.layer_norm(norm, sums_, rows.end - rows.begin, model_.stride(), state.residual + at, state.view + at);
    }

    void embed() {
        for_each_block(rows_, [&](Range rows) {
            kernels_.embed(model_.embedding, batch_.token_ids + rows.begin, batch_.type_ids + rows.begin,
                           space_.positions + rows.begin, rows.end - rows.begin, sums_);
            normalise(model_.embedding_norm, space_.tokens, rows);
            project(0, rows);
        });
    }

    bool first_only(std::size_t i) const { return model_.pooler.has_value() && i + 1 == model_.layers.size(); }

    // Q, K, V of layer i for rows whose view was just computed; the last layer needs few queries.
    void project(std::size_t i, Range rows) {
        if (i == model_.layers.size()) return;
        const Layer& layer = model_.layers[i];
        const std::size_t stride = 3 * model_.width(), width_blocks = model_.width() / block_columns;
        kernels_.linear_to_s8(layer.qkv, layer.attention.qkv_guard_bits, view_of(space_.tokens, rows),
                              {first_only(i) ? width_blocks : 0, 3 * width_blocks},
                              space_.qkv[i % 2] + rows.begin * stride, stride);
    }

    // From layer i's Q, K, V of all rows to those of layer i + 1.
    void layer(std::size_t i) {
        const Layer& layer = model_.layers[i];
        const std::int8_t* qkv = space_.qkv[i % 2];
        team_.barrier();
        if (first_only(i)) {
            first_attention(layer, qkv);
            for_each_block(sequences_, [&](Range rows) { after_attention(layer, space_.first, rows); });
            return;
        }
        self_attention(layer, qkv);
        for_each_block(rows_, [&](Range rows) {
            after_attention(layer, space_.tokens, rows);
            project(i + 1, rows);
        });
    }

    // All queries of this thread's rows.
    void self_attention(const Layer& layer, const std::int8_t* qkv) {
        const std::size_t stride = 3 * model_.width();
        for (std::size_t s = 0; s < batch_.sequences; ++s) {
            const Range tokens = batch_.sequence(s);
            const Range rows{std::max(tokens.begin, rows_.begin), std::min(tokens.end, rows_.end)};
            if (rows.begin >= rows.end) continue;
            attend(layer, qkv + rows.begin * stride, stride, rows, qkv, tokens);
        }
    }

    // Only what the pooler reads: the first token of each of this thread's sequences.
    void first_attention(const Layer& layer, const std::int8_t* qkv) {
        gather_first();
        for_each_block(sequences_, [&](Range rows) {
            kernels_.linear_to_s8(layer.qkv, layer.attention.qkv_guard_bits, view_of(space_.first, rows),
                                  {0, model_.width() / block_columns}, space_.first_query + rows.begin * model_.width(),
                                  model_.width());
        });
        for (std::size_t s = sequences_.begin; s < sequences_.end; ++s) {
            attend(layer, space_.first_query + s * model_.width(), model_.width(), {s, s + 1}, qkv, batch_.sequence(s));
        }
    }

    void gather_first() {
        for (std::size_t s = sequences_.begin; s < sequences_.end; ++s) {
            const std::size_t from = batch_.sequence(s).begin * model_.stride(), to = s * model_.stride();
            std::copy_n(space_.tokens.residual + from, model_.stride(), space_.first.residual + to);
            std::copy_n(space_.tokens.view + from, model_.stride(), space_.first.view + to);
        }
    }

    // Queries to the context rows `rows`, on the keys and values of the tokens `keys`.
    void attend(const Layer& layer, const std::int8_t* query, std::size_t query_stride, Range rows,
                const std::int8_t* qkv, Range keys) {
        const std::size_t width = model_.width(), stride = 3 * width;
        const std::int8_t* key = qkv + keys.begin * stride + width;
        const LayerAttention& attention = layer.attention;
        for (std::size_t h = 0; h < model_.heads(); ++h) {
            const std::size_t column = h * model_.head_dim();
            const AttentionHead head{
                .query = query + column,
                .key = key + column,
                .value = key + width + column,
                .context = space_.context + rows.begin * width + column,
                .query_stride = query_stride,
                .key_value_stride = stride,
                .context_stride = width,
                .queries = rows.end - rows.begin,
                .keys = keys.end - keys.begin,
                .head_dim = model_.head_dim(),
                .score_shift = attention.score_shift[h],
                .score_multiplier = attention.score_multiplier[h],
                .exp_fraction_bits = attention.exp_fraction_bits,
                .context_multiplier = attention.context_multiplier[h],
            };
            kernels_.attend(head, scratch_);
        }
    }

    // From the context to the layer's output, for one block of rows.
    void after_attention(const Layer& layer, const State& state, Range rows) {
        const std::size_t count = rows.end - rows.begin, stride = model_.stride();
        const std::int16_t* residual = state.residual + rows.begin * stride;
        const Activations context{space_.context + rows.begin * model_.width(), model_.width(), count};
        kernels_.linear_to_sums(layer.attention_output, context, {0, layer.attention_output.blocks}, residual, sums_,
                                stride);
        normalise(layer.attention_norm, state, rows);
        const std::size_t wide_stride = layer.ffn_output.inputs;
        kernels_.linear_to_gelu(layer.ffn_input, layer.gelu, view_of(state, rows), {0, layer.ffn_input.blocks}, wide_,
                                wide_stride);
        kernels_.linear_to_sums(layer.ffn_output, {wide_, wide_stride, count}, {0, layer.ffn_output.blocks}, residual,
                                sums_, stride);
        normalise(layer.ffn_norm, state, rows);
    }

    void token_logits(std::int32_t* logits) { output_rows(view_of(space_.tokens, rows_), rows_, logits); }

    void pooled_logits(std::int32_t* logits) {
        const std::size_t stride = model_.stride(), at = sequences_.begin * stride;
        const Activations first = view_of(space_.first, sequences_);
        const NarrowLinear& pooler = *model_.pooler;
        kernels_.linear_to_s32(pooler, first, {0, pooler.blocks}, space_.pooled_sums + at, stride);
        pooler_tanh(pooler, kernels_.order, space_.pooled_sums + at, first.rows, stride, space_.pooled + at);
        output_rows({space_.pooled + at, stride, first.rows}, sequences_, logits);
    }

    void output_rows(Activations x, Range rows, std::int32_t* logits) {  // (8.1)
        const std::size_t stride = model_.output_stride();
        std::int32_t* padded = space_.output + rows.begin * stride;
        kernels_.linear_to_s32(model_.output, x, {0, model_.output.blocks}, padded, stride);
        copy_outputs(kernels_.order, padded, x.rows, stride, model_.outputs(), logits + rows.begin * model_.outputs());
    }

    const Model& model_;
    const KernelSet& kernels_;
    const Batch& batch_;
    const Workspace& space_;
    Team& team_;
    const std::size_t thread_;
    const Range rows_;       // this thread's tokens
    const Range sequences_;  // this thread's sequences, where a stage works by sequence
    std::int32_t* sums_;
    std::uint8_t* wide_;
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
    for (std::int8_t*& qkv : space.qkv) qkv = carver.take<std::int8_t>(tokens * 3 * width);
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
