#include "random_program.h"

#include <algorithm>

namespace intbert::check {
namespace {

int pick(Random& random, int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }

class Writer {
public:
    explicit Writer(Random& random) : random_(random) {}

    template <class T>
    void uniform(const std::string& name, std::vector<std::size_t> shape, int low, int high) {
        std::size_t size = 1;
        for (const std::size_t extent : shape) size *= extent;
        auto values = std::make_shared<std::vector<T>>(size);
        for (T& value : *values) value = static_cast<T>(pick(random_, low, high));
        add(name, std::move(shape), std::move(values));
    }

    void scalar(const std::string& name, int value) { uniform<std::int32_t>(name, {}, value, value); }

    // Weights of the full range in a quarter of the programs, else small ones that leave accumulators unsaturated.
    void linear(const std::string& name, std::size_t outputs, std::size_t inputs) {
        const int weight = pick(random_, 0, 3) == 0 ? 127 : 20;
        uniform<std::int8_t>(name + ".weight", {outputs, inputs}, -weight, weight);
        uniform<std::int32_t>(name + ".bias", {outputs}, -100000, 100000);
    }

    void narrow(const std::string& name, std::size_t outputs, std::size_t inputs) {
        linear(name, outputs, inputs);
        uniform<std::int32_t>(name + ".shift", {outputs}, 0, 6);
        uniform<std::int16_t>(name + ".multiplier", {outputs}, 0, 32767);
    }

    void residual(const std::string& name, std::size_t outputs, std::size_t inputs) {
        linear(name, outputs, inputs);
        uniform<std::int32_t>(name + ".multiplier", {outputs}, 0, INT32_MAX);
        const std::uint64_t bound = 100000 + std::uint64_t{inputs} * 255 * 127;
        int shift = 0;
        while ((bound << (shift + 1)) < (std::uint64_t{1} << 31)) ++shift;
        scalar(name + ".accumulator_shift", pick(random_, 0, shift));
        scalar(name + ".residual_shift", pick(random_, 0, 6));
    }

    void norm(const std::string& name, std::size_t channels) {
        uniform<std::int32_t>(name + ".gain", {channels}, -INT32_MAX, INT32_MAX);
        uniform<std::int32_t>(name + ".bias", {channels}, -(1 << 28), 1 << 28);
        uniform<std::int16_t>(name + ".view", {channels}, 0, 32767);
        scalar(name + ".shift", pick(random_, 8, 16));
    }

    Tensors take() { return std::move(tensors_); }

private:
    template <class T>
    void add(const std::string& name, std::vector<std::size_t> shape, std::shared_ptr<std::vector<T>> values) {
        const Type type = sizeof(T) == 1 ? Type::s8 : sizeof(T) == 2 ? Type::s16 : Type::s32;
        const void* data = values->data();
        tensors_.emplace(name, Tensor{type, std::move(shape), data, std::move(values)});
    }

    Random& random_;
    Tensors tensors_;
};

void write_layer(Writer& writer, Random& random, const std::string& name, const Dimensions& size) {
    writer.narrow(name + ".qkv", 3 * size.channels, size.channels);
    const std::string attention = name + ".attention";
    writer.scalar(attention + ".qkv_guard_bits", pick(random, 1, 7));
    writer.scalar(attention + ".exp_fraction_bits", pick(random, 8, 10));
    writer.uniform<std::int32_t>(attention + ".score_shift", {size.heads}, 0, 8);
    writer.uniform<std::int16_t>(attention + ".score_multiplier", {size.heads}, 0, 32767);
    writer.uniform<std::int32_t>(attention + ".context_multiplier", {size.heads}, 0, 32767 * 128);
    writer.residual(name + ".attention_output", size.channels, size.channels);
    writer.norm(name + ".attention_norm", size.channels);
    writer.narrow(name + ".ffn_input", size.intermediate, size.channels);
    writer.scalar(name + ".gelu.range_shift", pick(random, 0, 4));
    writer.scalar(name + ".gelu.zero_point", pick(random, 0, 255));
    writer.uniform<std::int16_t>(name + ".gelu.multiplier", {size.intermediate}, 0, 32767);
    writer.residual(name + ".ffn_output", size.channels, size.intermediate);
    writer.norm(name + ".ffn_norm", size.channels);
}

}  // namespace

Dimensions random_dimensions(Random& random) {
    const auto any = [&](int low, int high) { return static_cast<std::size_t>(pick(random, low, high)); };
    const std::size_t heads = any(1, 5);
    return {
        .channels = heads * any(1, 80),
        .heads = heads,
        .intermediate = any(1, 300),
        .layers = any(0, 3),
        .vocabulary = any(1, 50),
        .positions = any(1, 300),
        .outputs = any(1, 70),
        .pooler = any(0, 1) == 1,
    };
}

Tensors random_program(Random& random, const Dimensions& size) {
    Writer writer(random);
    writer.scalar("heads", static_cast<int>(size.heads));
    writer.scalar("position_offset", 0);
    writer.uniform<std::int8_t>("embedding.word", {size.vocabulary, size.channels}, -127, 127);
    writer.uniform<std::int16_t>("embedding.word_multiplier", {size.vocabulary}, 0, 8000);
    writer.uniform<std::int16_t>("embedding.position", {size.positions, size.channels}, -15000, 15000);
    writer.uniform<std::int16_t>("embedding.token_type", {2, size.channels}, -15000, 15000);
    writer.scalar("embedding.position_shift", pick(random, 0, 5));
    writer.norm("embedding_norm", size.channels);
    for (std::size_t i = 0; i < size.layers; ++i) write_layer(writer, random, "layers." + std::to_string(i), size);
    if (size.pooler) writer.narrow("head.pooler", size.channels, size.channels);
    if (size.pooler && pick(random, 0, 1) == 1) writer.scalar("head.relu_guard_bits", pick(random, 1, 7));
    writer.linear("head.output", size.outputs, size.channels);
    return writer.take();
}

}  // namespace intbert::check
