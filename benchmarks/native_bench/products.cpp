#include <cstdio>
#include <functional>
#include <string>

#include "commands.h"
#include "peak.h"
#include "timing.h"

namespace intbert::bench {
namespace {

struct Product {
    std::string name;
    double operations;
    std::function<void()> call;
    std::vector<double> gops{};
};

struct Buffers {  // aligned as the product's own
    AlignedBuffer input, wide, out8, sums, residual;
};

double operations(const Linear& linear, std::size_t rows) {
    return 2.0 * static_cast<double>(rows * linear.inputs * linear.blocks * block_columns);
}

std::vector<Product> products(const Model& model, std::size_t rows, Buffers& space) {
    const KernelSet& kernels = model.kernels();
    const Layer& layer = model.layers[0];
    const std::size_t stride = model.stride();
    const Activations x{space.input.as<std::uint8_t>(), stride, rows};
    const Activations wide{space.wide.as<std::uint8_t>(), layer.ffn_output.inputs, rows};
    auto* out8 = space.out8.as<std::uint8_t>();
    auto* sums = space.sums.as<std::int32_t>();
    auto* residual = space.residual.as<std::int16_t>();
    const std::size_t qkv_stride = layer.qkv.blocks * block_columns, inner = layer.ffn_input.blocks * block_columns;
    return {
        {"Q, K, V", operations(layer.qkv, rows),
         [=, &kernels, &layer] {
             kernels.linear_to_s8(layer.qkv, layer.attention.qkv_guard_bits, x, {0, layer.qkv.blocks},
                                  reinterpret_cast<std::int8_t*>(out8), qkv_stride);
         }},
        {"attention output", operations(layer.attention_output, rows),
         [=, &kernels, &layer] {
             kernels.linear_to_sums(layer.attention_output, x, {0, layer.attention_output.blocks}, residual, sums,
                                    stride);
         }},
        {"FFN input with GELU", operations(layer.ffn_input, rows),
         [=, &kernels, &layer] {
             kernels.linear_to_gelu(layer.ffn_input, layer.gelu, x, {0, layer.ffn_input.blocks}, out8, inner);
         }},
        {"FFN output", operations(layer.ffn_output, rows),
         [=, &kernels, &layer] {
             kernels.linear_to_sums(layer.ffn_output, wide, {0, layer.ffn_output.blocks}, residual, sums, stride);
         }},
    };
}

void fill(AlignedBuffer& buffer) {
    auto* bytes = buffer.as<std::uint8_t>();
    for (std::size_t i = 0; i < buffer.bytes(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 % 251);
}

}  // namespace

void measure_products(const Size& size, const KernelSet& kernels, std::size_t rows, int rounds) {
    const auto model = random_model(size, kernels);
    const std::size_t widest = std::max(3 * model->width(), model->intermediate());
    Buffers space{AlignedBuffer(rows * model->stride()), AlignedBuffer(rows * model->intermediate()),
                  AlignedBuffer(rows * widest), AlignedBuffer(rows * model->stride() * 4),
                  AlignedBuffer(rows * model->stride() * 2)};
    for (AlignedBuffer* buffer : {&space.input, &space.wide, &space.residual}) fill(*buffer);
    auto list = products(*model, rows, space);
    const Burst burst = peak_burst();
    std::vector<double> peaks{};
    for (int round = 0; round < rounds; ++round) {
        if (burst != nullptr) peaks.push_back(burst() / nanoseconds([&] { burst(); }));
        for (Product& product : list) {
            product.call();  // caches as between the tokens of a batch
            product.gops.push_back(product.operations / nanoseconds(product.call));
        }
    }
    std::printf("{\"kernels\": \"%s\", \"rows\": %zu, \"peak_gops\": %.1f, \"products\": [", kernels.name, rows,
                peaks.empty() ? 0.0 : median(peaks));
    for (std::size_t i = 0; i < list.size(); ++i) {
        std::printf("%s{\"name\": \"%s\", \"gops\": %.1f, \"operations\": %.0f}", i ? ", " : "", list[i].name.c_str(),
                    median(list[i].gops), list[i].operations);
    }
    std::printf("]}\n");
}

}  // namespace intbert::bench
