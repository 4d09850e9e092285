#include "model.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace intbert {
namespace {

constexpr std::size_t absent = SIZE_MAX;
constexpr std::size_t channels_limit = 1024;  // (9.4): a row's sum stays in 32 bits
constexpr std::size_t tokens_limit = 1024;    // (9.6)
constexpr int q15_max = 32767;

// 0..count-1, padded to whole blocks of columns.
std::vector<std::size_t> in_order(std::size_t count) {
    std::vector<std::size_t> sources(round_up(count, block_columns), absent);
    std::iota(sources.begin(), sources.begin() + static_cast<std::ptrdiff_t>(count), std::size_t{0});
    return sources;
}

// Heads of head_dim columns, each padded to `padded`, all padded to `width`; columns count from `first`.
std::vector<std::size_t> by_head(std::size_t heads, std::size_t head_dim, std::size_t padded, std::size_t width,
                                 std::size_t first) {
    std::vector<std::size_t> sources(width, absent);
    for (std::size_t head = 0; head < heads; ++head) {
        for (std::size_t d = 0; d < head_dim; ++d) sources[head * padded + d] = first + head * head_dim + d;
    }
    return sources;
}

std::size_t present(const std::vector<std::size_t>& sources) {
    return sources.size() - static_cast<std::size_t>(std::count(sources.begin(), sources.end(), absent));
}

std::string shape_text(std::size_t rows, std::size_t columns) {
    return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
}

void expect_shape(const std::string& name, const Tensor& tensor, std::size_t rows, std::size_t columns) {
    if (tensor.shape[0] == rows && tensor.shape[1] == columns && rows * columns > 0) return;
    throw std::invalid_argument("tensor " + name + " has shape " + shape_text(tensor.shape[0], tensor.shape[1]) +
                                ", expected " + shape_text(rows, columns));
}

// (2.1) for kernels that multiply input - offset. Adds modulo 2^32, as vectors do; bound (9.1) holds for the true sum.
std::vector<std::int32_t> offset_bias(const std::int32_t* bias, const std::int8_t* weight, std::size_t outputs,
                                      std::size_t inputs, std::int32_t offset) {
    std::vector<std::int32_t> result(bias, bias + outputs);
    for (std::size_t o = 0; o < outputs && offset != 0; ++o) {
        const std::int32_t sum = std::accumulate(weight + o * inputs, weight + (o + 1) * inputs, 0);
        result[o] =
            static_cast<std::int32_t>(static_cast<std::uint32_t>(bias[o]) + static_cast<std::uint32_t>(offset * sum));
    }
    return result;
}

}  // namespace

Model::Model(Tensors tensors, const KernelSet& kernels) : kernels_(kernels) {
    TensorReader reader(std::move(tensors));
    channels_ = reader.find("embedding.word", Type::s8, 2).shape[1];
    if (channels_ < 1 || channels_ > channels_limit) {
        throw std::invalid_argument("tensor embedding.word has " + std::to_string(channels_) +
                                    " channels, allowed are 1 to " + std::to_string(channels_limit));
    }
    heads_ = static_cast<std::size_t>(reader.scalar("heads", 1, static_cast<int>(channels_)));
    if (channels_ % heads_ != 0) {
        throw std::invalid_argument(std::to_string(channels_) + " channels cannot be divided among " +
                                    std::to_string(heads_) + " heads");
    }
    head_dim_true_ = channels_ / heads_;
    head_dim_ = round_up(head_dim_true_, 32);
    width_ = round_up(heads_ * head_dim_, block_columns);
    stride_ = round_up(channels_, block_columns);
    read_embedding(reader);
    embedding_norm = read_norm(reader, "embedding_norm");
    for (std::size_t i = 0; reader.has_below("layers." + std::to_string(i) + "."); ++i) {
        layers.push_back(read_layer(reader, "layers." + std::to_string(i)));
    }
    if (reader.has("head.pooler.weight")) {
        pooler = read_narrow(reader, "head.pooler", {in_order(channels_), in_order(channels_)});
        if (reader.has("head.relu_guard_bits")) relu_guard_bits = reader.scalar("head.relu_guard_bits", 1, 7);
    }
    outputs_ = reader.find("head.output.weight", Type::s8, 2).shape[0];
    output = read_linear(reader, "head.output", {in_order(outputs_), in_order(channels_)});
}

template <class T>
T* Model::allocate(std::size_t count) {
    buffers_.emplace_back(count * sizeof(T));
    weights_bytes_ += buffers_.back().bytes();
    return buffers_.back().as<T>();
}

// The constants of a layer's outputs, in the order in which the kernel set reads them.
template <class T>
const T* Model::ordered(const T* values, const std::vector<std::size_t>& sources, const std::uint8_t* order) {
    T* to = allocate<T>(sources.size());
    for (std::size_t p = 0; p < sources.size(); ++p) {
        const std::size_t source = sources[p / block_columns * block_columns + order[p % block_columns]];
        to[p] = source == absent ? T{0} : values[source];
    }
    return to;
}

template <class T>
const T* Model::padded_table(const T* values, std::size_t rows, std::size_t columns, const std::uint8_t* order) {
    const std::size_t stride = round_up(columns, block_columns);
    T* to = allocate<T>(rows * stride);
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t p = 0; p < stride; ++p) {
            const std::size_t column = p / block_columns * block_columns + order[p % block_columns];
            to[row * stride + p] = column < columns ? values[row * columns + column] : T{0};
        }
    }
    return to;
}

void Model::read_embedding(const TensorReader& tensors) {
    const Tensor& word = tensors.find("embedding.word", Type::s8, 2);
    const Tensor& position = tensors.find("embedding.position", Type::s16, 2);
    const Tensor& type = tensors.find("embedding.token_type", Type::s16, 2);
    vocabulary_ = word.shape[0];
    types_ = type.shape[0];
    const std::size_t positions = position.shape[0];
    expect_shape("embedding.word", word, vocabulary_, channels_);
    expect_shape("embedding.position", position, positions, channels_);
    expect_shape("embedding.token_type", type, types_, channels_);
    position_offset_ = tensors.scalar("position_offset", 0, static_cast<int>(positions) - 1);
    tokens_max_ = positions - static_cast<std::size_t>(position_offset_);
    if (tokens_max_ > tokens_limit) {
        throw std::invalid_argument("tensor embedding.position numbers " + std::to_string(tokens_max_) +
                                    " tokens, allowed are at most " + std::to_string(tokens_limit));
    }

    ColumnOrder natural{};
    std::iota(std::begin(natural.column32), std::end(natural.column32), std::uint8_t{0});
    const auto* words = static_cast<const std::int8_t*>(word.data);
    if (channels_ % block_columns == 0 && word.owner != nullptr) {  // the table is read as it is: half of a small model
        owners_.push_back(word.owner);
        weights_bytes_ += vocabulary_ * channels_;
        embedding.word = words;
    } else {
        embedding.word = padded_table(words, vocabulary_, channels_, natural.column32);
    }
    std::int16_t* multiplier = allocate<std::int16_t>(vocabulary_);
    std::copy_n(tensors.s16("embedding.word_multiplier", vocabulary_, 0), vocabulary_, multiplier);
    embedding.word_multiplier = multiplier;
    const std::uint8_t* order16 = kernels_.order.column16;
    embedding.position = padded_table(static_cast<const std::int16_t*>(position.data), positions, channels_, order16);
    embedding.token_type = padded_table(static_cast<const std::int16_t*>(type.data), types_, channels_, order16);
    embedding.position_shift = tensors.scalar("embedding.position_shift", 0, 14);
    embedding.stride = stride_;
}

Layer Model::read_layer(TensorReader& tensors, const std::string& name) {
    std::vector<std::size_t> qkv;
    for (std::size_t part = 0; part < 3; ++part) {
        const auto columns = by_head(heads_, head_dim_true_, head_dim_, width_, part * channels_);
        qkv.insert(qkv.end(), columns.begin(), columns.end());
    }
    const auto context = by_head(heads_, head_dim_true_, head_dim_, width_, 0);
    const auto channels = in_order(channels_);
    const auto wide = in_order(tensors.find(name + ".ffn_input.weight", Type::s8, 2).shape[0]);
    if (wide.size() > inputs_max) {
        throw std::invalid_argument("tensor " + name + ".ffn_input.weight has more than " + std::to_string(inputs_max) +
                                    " outputs, which the next layer cannot read");
    }
    intermediate_ = std::max(intermediate_, wide.size());
    Layer layer{};
    layer.qkv = read_narrow(tensors, name + ".qkv", {qkv, channels});
    layer.attention = read_attention(tensors, name + ".attention");
    layer.attention_output = read_residual(tensors, name + ".attention_output", {channels, context});
    layer.attention_norm = read_norm(tensors, name + ".attention_norm");
    layer.ffn_input = read_narrow(tensors, name + ".ffn_input", {wide, channels});
    layer.gelu.range_shift = tensors.scalar(name + ".gelu.range_shift", 0, 14);
    layer.gelu.zero_point = tensors.scalar(name + ".gelu.zero_point", 0, 255);
    const std::int16_t* multiplier = tensors.s16(name + ".gelu.multiplier", present(wide), 0);
    layer.gelu.multiplier = ordered(multiplier, wide, kernels_.order.column16);
    layer.ffn_output = read_residual(tensors, name + ".ffn_output", {channels, wide});
    layer.ffn_norm = read_norm(tensors, name + ".ffn_norm");
    return layer;
}

LayerNorm Model::read_norm(TensorReader& tensors, const std::string& name) {
    const auto channels = in_order(channels_);
    const ColumnOrder& order = kernels_.order;
    LayerNorm norm{};
    norm.gain = ordered(tensors.s32(name + ".gain", channels_, -INT32_MAX), channels, order.column32);
    norm.bias = ordered(tensors.s32(name + ".bias", channels_, -(1 << 30), 1 << 30), channels, order.column32);
    norm.view = ordered(tensors.s16(name + ".view", channels_, 0), channels, order.column16);
    norm.shift = tensors.scalar(name + ".shift", 0, 31);
    norm.channels = channels_;
    return norm;
}

LayerAttention Model::read_attention(TensorReader& tensors, const std::string& name) {
    const auto copy = [&]<class T>(const T* values) {
        T* to = allocate<T>(heads_);
        std::copy_n(values, heads_, to);
        return to;
    };
    LayerAttention attention{};
    attention.qkv_guard_bits = tensors.scalar(name + ".qkv_guard_bits", 1, 8);
    attention.exp_fraction_bits = tensors.scalar(name + ".exp_fraction_bits", 1, 15);
    attention.score_shift = copy(tensors.s32(name + ".score_shift", heads_, 0, 30));
    attention.score_multiplier = copy(tensors.s16(name + ".score_multiplier", heads_, 0));
    attention.context_multiplier = copy(tensors.s32(name + ".context_multiplier", heads_, 0, q15_max * 128));
    return attention;
}

Linear Model::read_linear(TensorReader& tensors, const std::string& name, const Rows& rows) {
    const Tensor& weight = tensors.find(name + ".weight", Type::s8, 2);
    const std::size_t outputs = present(rows.outputs), inputs = present(rows.inputs);
    expect_shape(name + ".weight", weight, outputs, inputs);
    const auto* values = static_cast<const std::int8_t*>(weight.data);
    Linear linear{};
    linear.inputs = rows.inputs.size();
    linear.blocks = rows.outputs.size() / block_columns;
    auto* packed = allocate<std::int8_t>(rows.outputs.size() * linear.inputs);
    std::vector<std::int8_t> block(block_columns * linear.inputs);
    for (std::size_t b = 0; b < linear.blocks; ++b) {
        std::fill(block.begin(), block.end(), std::int8_t{0});
        for (std::size_t c = 0; c < block_columns; ++c) {
            const std::size_t source = rows.outputs[b * block_columns + c];
            if (source == absent) continue;
            for (std::size_t k = 0; k < linear.inputs; ++k) {
                if (rows.inputs[k] != absent) block[c * linear.inputs + k] = values[source * inputs + rows.inputs[k]];
            }
        }
        kernels_.pack_block(block.data(), block_columns, linear.inputs, packed + b * block_columns * linear.inputs);
    }
    tensors.drop(name + ".weight");  // a large model is in memory once, not twice
    linear.weight = packed;
    const auto bias = offset_bias(tensors.s32(name + ".bias", outputs), values, outputs, inputs, kernels_.input_offset);
    linear.bias = ordered(bias.data(), rows.outputs, kernels_.order.column32);
    return linear;
}

NarrowLinear Model::read_narrow(TensorReader& tensors, const std::string& name, const Rows& rows) {
    const std::size_t outputs = present(rows.outputs);
    NarrowLinear linear{read_linear(tensors, name, rows), nullptr, nullptr};
    linear.shift = ordered(tensors.s32(name + ".shift", outputs, 0, 31), rows.outputs, kernels_.order.column32);
    linear.multiplier = ordered(tensors.s16(name + ".multiplier", outputs, 0), rows.outputs, kernels_.order.column16);
    return linear;
}

ResidualLinear Model::read_residual(TensorReader& tensors, const std::string& name, const Rows& rows) {
    ResidualLinear linear{read_linear(tensors, name, rows), nullptr, 0, 0};
    linear.multiplier =
        ordered(tensors.s32(name + ".multiplier", present(rows.outputs), 0), rows.outputs, kernels_.order.column32);
    linear.accumulator_shift = tensors.scalar(name + ".accumulator_shift", 0, 30);
    linear.residual_shift = tensors.scalar(name + ".residual_shift", 0, 15);
    return linear;
}

}  // namespace intbert
