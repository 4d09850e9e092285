#include "epilogues.h"
#include "operations.h"
#include "product.h"

namespace intbert::avx2 {

// product.h has the layout.
void pack_block(const std::int8_t* weight, std::size_t columns, std::size_t inputs, std::int8_t* packed) {
    const std::size_t quads = (inputs + 3) / 4;
    for (std::size_t i = 0; i < block_columns * quads * 4; ++i) {
        const std::size_t pair = i % 2, lane = i / 2 % 8, even = i / 16 % 2, vector = i / 32 % 2;
        const std::size_t quad = i / 64 % quads, group = i / 64 / quads;
        const std::size_t column = kernel_order.column32[group * group_columns + vector * 8 + lane];
        const std::size_t k = quad * 4 + pair * 2 + 1 - even;
        packed[i] = column < columns && k < inputs ? weight[column * inputs + k] : std::int8_t{0};
    }
}

void linear_to_s32(const Linear& linear, Activations x, Range blocks, std::int32_t* out, std::size_t stride) {
    to_s32(Product{}, linear, x, blocks, out, stride);
}

void linear_to_s8(const NarrowLinear& linear, int guard_bits, Activations x, Range blocks, std::int8_t* out,
                  std::size_t stride) {
    to_s8(Product{}, linear, guard_bits, x, blocks, out, stride);
}

void linear_to_gelu(const NarrowLinear& linear, const Gelu& gelu, Activations x, Range blocks, std::uint8_t* out,
                    std::size_t stride) {
    to_gelu(Product{}, linear, gelu, x, blocks, out, stride);
}

void linear_to_sums(const ResidualLinear& linear, Activations x, Range blocks, const std::int16_t* residual,
                    std::int32_t* sums, std::size_t stride) {
    to_sums(Product{}, linear, x, blocks, residual, sums, stride);
}

}  // namespace intbert::avx2
