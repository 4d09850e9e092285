// Linear layers: the product is this set's, all that follows it is shared with avx2.
//
// vpdpbusd adds four u8 x s8 products to an int32 lane, exactly. Panel of a block: (4 groups, quads of inputs, 16
// columns, 4 inputs) s8.
#include "../avx2/epilogues.h"
#include "../avx2/operations.h"
#include "../avx2/tile.h"
#include "operations.h"

namespace intbert::avx_vnni {
namespace {

using namespace avx2;

struct Product {
    static constexpr auto multiply_add = [] INTBERT_BODY(Vector acc, Vector inputs, Vector weights) {
        return _mm256_dpbusd_avx_epi32(acc, inputs, weights);
    };

    // Runs all row tiles of each block, so that a block's weights stay in the nearest cache that holds them.
    template <class Epilogue>
    INTBERT_INLINE void operator()(const Linear& linear, Activations x, Range blocks, Epilogue epilogue) const {
        for (std::size_t block = blocks.begin; block < blocks.end; ++block) {
            for_each_tile<tile_rows>(x.rows, [&] INTBERT_BODY(auto height, std::size_t row) {
                tile<decltype(height)::value>(linear, x, block, row, epilogue);
            });
        }
    }

    template <int ROWS, class Epilogue>
    INTBERT_INLINE void tile(const Linear& linear, Activations x, std::size_t block, std::size_t row,
                             Epilogue epilogue) const {
        for (std::size_t g = 0; g < groups; ++g) {
            const std::size_t column = block * block_columns + g * group_columns;
            const std::int8_t* panel = linear.weight + column * linear.inputs;
            const std::int8_t* next = panel + block_columns * linear.inputs;
            Tile<ROWS> acc;
            for_each_accumulator<ROWS>(
                [&] INTBERT_BODY(auto r, auto v) { acc[r][v] = load(linear.bias + column + v * 8); });
            accumulate<ROWS, true>(acc, x.data + row * x.stride, x.stride, panel, linear.inputs / 4, multiply_add,
                                   fetches(g, row, ROWS, x.rows) ? next : panel);
            unroll<ROWS>([&] INTBERT_BODY(auto r) { epilogue(row + r, column, acc[r][0], acc[r][1]); });
        }
    }
};

}  // namespace

void pack_block(const std::int8_t* weight, std::size_t columns, std::size_t inputs, std::int8_t* packed) {
    const std::size_t quads = (inputs + 3) / 4;
    for (std::size_t i = 0; i < block_columns * quads * 4; ++i) {
        const std::size_t position = i / 4 % group_columns, quad = i / 64 % quads, group = i / 64 / quads;
        const std::size_t column = kernel_order.column32[group * group_columns + position];
        const std::size_t k = quad * 4 + i % 4;
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

}  // namespace intbert::avx_vnni
