// Linear layers: packed product with the requantisation, GELU or residual addition on the registers that accumulated.
#include "operations.h"
#include "tile.h"

namespace intbert::avx512_vnni {
namespace {

// Runs all row tiles of each block, so that a block's weights stay in the nearest cache that holds them;
// epilogue(row, block, the row's four accumulators).
template <class Epilogue>
INTBERT_INLINE void product(const Linear& linear, Activations x, Range blocks, Epilogue epilogue) {
    for (std::size_t block = blocks.begin; block < blocks.end; ++block) {
        const std::int8_t* panel = linear.weight + block * block_columns * linear.inputs;
        const std::int32_t* bias = linear.bias + block * block_columns;
        for_each_tile<tile_rows>(x.rows, [&] INTBERT_BODY(auto height, std::size_t row) {
            constexpr int rows = decltype(height)::value;
            Tile<rows, 4> acc;
            unroll<rows>(
                [&] INTBERT_BODY(auto r) { unroll<4>([&] INTBERT_BODY(auto v) { acc[r][v] = load(bias + v * 16); }); });
            // Four tiles fetch a quarter each of the next block's weights, which come from memory or the last-level
            // cache.
            const std::size_t quarter = row < 20 ? row / 5 : 3;
            const std::int8_t* ahead = panel + (block_columns + 16 * quarter) * linear.inputs;
            accumulate<Panel::s8, rows, 4, true>(acc, x.data + row * x.stride, x.stride, panel, linear.inputs, ahead);
            unroll<rows>(
                [&] INTBERT_BODY(auto r) { epilogue(row + r, block, acc[r][0], acc[r][1], acc[r][2], acc[r][3]); });
        });
    }
}

// (2.2) of 32 columns from two accumulators.
INTBERT_INLINE Vector narrow(Vector low, Vector high, const std::int32_t* shift, const std::int16_t* multiplier) {
    const Vector packed =
        _mm512_packs_epi32(_mm512_srav_epi32(low, load(shift)), _mm512_srav_epi32(high, load(shift + 16)));
    return multiply_round_q15(packed, load(multiplier));
}

// (5.1), (5.2) of 32 columns, before the final clamp.
INTBERT_INLINE Vector gelu(Vector x, const std::int16_t* multiplier, int range_shift, Vector zero_point) {
    const Vector magnitude = _mm512_abs_epi16(x);  // -32768 stays 0x8000, above every unsigned 16-bit magnitude
    const Vector clipped = _mm512_min_epu16(magnitude, all16(28210 >> range_shift));  // 0.86090
    const Vector root = _mm512_sub_epi16(all16(28210), _mm512_sll_epi16(clipped, _mm_cvtsi32_si128(range_shift)));
    const Vector square = multiply_round_q15(root, root);
    const Vector tail = multiply_round_q15(square, square);
    const Vector value = _mm512_sub_epi16(_mm512_max_epi16(x, zero()), multiply_round_q15(magnitude, tail));
    return _mm512_adds_epi16(multiply_round_q15(value, load(multiplier)), zero_point);
}

}  // namespace

void pack_block(const std::int8_t* weight, std::size_t columns, std::size_t inputs, std::int8_t* packed) {
    const std::size_t quads = (inputs + 3) / 4;
    for (std::size_t quad = 0; quad < quads; ++quad) {
        for (std::size_t p = 0; p < block_columns; ++p) {
            const std::size_t column = kernel_order.column32[p];
            for (std::size_t i = 0; i < 4; ++i) {
                const std::size_t k = quad * 4 + i;
                const bool present = column < columns && k < inputs;
                packed[(quad * block_columns + p) * 4 + i] = present ? weight[column * inputs + k] : std::int8_t{0};
            }
        }
    }
}

void linear_to_s32(const Linear& linear, Activations x, Range blocks, std::int32_t* out, std::size_t stride) {
    product(linear, x, blocks,
            [=] INTBERT_BODY(std::size_t row, std::size_t block, Vector a, Vector b, Vector c, Vector d) {
                std::int32_t* to = out + row * stride + block * block_columns;
                store(to, a);
                store(to + 16, b);
                store(to + 32, c);
                store(to + 48, d);
            });
}

void linear_to_s8(const NarrowLinear& linear, int guard_bits, Activations x, Range blocks, std::int8_t* out,
                  std::size_t stride) {
    product(linear, x, blocks,
            [=, &linear] INTBERT_BODY(std::size_t row, std::size_t block, Vector a, Vector b, Vector c, Vector d) {
                const std::int32_t* shift = linear.shift + block * block_columns;
                const std::int16_t* multiplier = linear.multiplier + block * block_columns;
                const Vector low = shift_round16(narrow(a, b, shift, multiplier), guard_bits);
                const Vector high = shift_round16(narrow(c, d, shift + 32, multiplier + 32), guard_bits);
                store(out + row * stride + block * block_columns, pack_s8(low, high));  // (2.3)
            });
}

void linear_to_gelu(const NarrowLinear& linear, const Gelu& parameters, Activations x, Range blocks, std::uint8_t* out,
                    std::size_t stride) {
    const int range_shift = parameters.range_shift;
    const Vector zero_point = all16(parameters.zero_point);
    const std::int16_t* scale = parameters.multiplier;
    product(linear, x, blocks,
            [=, &linear] INTBERT_BODY(std::size_t row, std::size_t block, Vector a, Vector b, Vector c, Vector d) {
                const std::size_t column = block * block_columns;
                const std::int32_t* shift = linear.shift + column;
                const std::int16_t* multiplier = linear.multiplier + column;
                const Vector low = gelu(narrow(a, b, shift, multiplier), scale + column, range_shift, zero_point);
                const Vector high =
                    gelu(narrow(c, d, shift + 32, multiplier + 32), scale + column + 32, range_shift, zero_point);
                store(out + row * stride + column, _mm512_packus_epi16(low, high));
            });
}

void linear_to_sums(const ResidualLinear& linear, Activations x, Range blocks, const std::int16_t* residual,
                    std::int32_t* sums, std::size_t stride) {
    const __m128i accumulator_shift = _mm_cvtsi32_si128(linear.accumulator_shift);
    // The residual's 16 bits enter the upper half of a lane, so the shift down leaves residual << residual_shift.
    const __m128i residual_shift = _mm_cvtsi32_si128(16 - linear.residual_shift);
    product(linear, x, blocks,
            [=, &linear] INTBERT_BODY(std::size_t row, std::size_t block, Vector a, Vector b, Vector c, Vector d) {
                const std::size_t at = row * stride + block * block_columns;
                const std::int32_t* multiplier = linear.multiplier + block * block_columns;
                const Vector acc[4] = {a, b, c, d};
                unroll<4>([&] INTBERT_BODY(auto v) {
                    const Vector old16 = load(residual + at + (v / 2) * 32);
                    const Vector old =
                        v % 2 == 0 ? _mm512_unpacklo_epi16(zero(), old16) : _mm512_unpackhi_epi16(zero(), old16);
                    const Vector scaled =
                        multiply_high32(_mm512_sll_epi32(acc[v], accumulator_shift), load(multiplier + v * 16));
                    const Vector h = _mm512_add_epi32(_mm512_sra_epi32(old, residual_shift), scaled);  // (2.4)
                    store(sums + at + v * 16, saturate22(h));
                });
            });
}

}  // namespace intbert::avx512_vnni
