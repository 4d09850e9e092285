// Linear layers: packed product with the requantisation, GELU or residual addition on the registers that accumulated.
#include "operations.h"
#include "tile.h"

namespace intbert::INTBERT_NEON {
namespace {

constexpr std::size_t panels = block_columns / tile_columns;

// Runs all row tiles of each panel, so that its weights stay in the first-level cache;
// epilogue(row, column, the row's accumulators of 16 columns).
template <class Epilogue>
INTBERT_INLINE void product(const Linear& linear, Activations x, Range blocks, Epilogue epilogue) {
    for (std::size_t panel = blocks.begin * panels; panel < blocks.end * panels; ++panel) {
        const std::size_t column = panel * tile_columns;
        const std::int8_t* weight = linear.weight + column * linear.inputs;
        for_each_tile<tile_rows>(x.rows, [&] INTBERT_BODY(auto height, std::size_t row) {
            constexpr int rows = decltype(height)::value;
            Tile<rows> acc;
            unroll<rows>([&] INTBERT_BODY(auto r) {
                unroll<4>([&] INTBERT_BODY(auto v) { acc[r][v] = vld1q_s32(linear.bias + column + v * 4); });
            });
            accumulate<Inputs::u8, rows>(acc, x.data + row * x.stride, x.stride, weight, linear.inputs);
            unroll<rows>([&] INTBERT_BODY(auto r) { epilogue(row + r, column, acc[r]); });
        });
    }
}

// (2.2) of 8 columns.
INTBERT_INLINE int16x8_t narrow(int32x4_t low, int32x4_t high, const std::int32_t* shift,
                                const std::int16_t* multiplier) {
    const int32x4_t shifted_low = vshlq_s32(low, vnegq_s32(vld1q_s32(shift)));
    const int32x4_t shifted_high = vshlq_s32(high, vnegq_s32(vld1q_s32(shift + 4)));
    return multiply_round_q15(saturate16(shifted_low, shifted_high), vld1q_s16(multiplier));
}

// (5.1), (5.2) of 8 columns, before the final clamp.
INTBERT_INLINE int16x8_t gelu(int16x8_t x, const std::int16_t* multiplier, int range_shift, int16x8_t zero_point) {
    const int16x8_t magnitude = vabsq_s16(x);
    const int16x8_t clipped = vminq_s16(magnitude, all16(28210 >> range_shift));  // 0.86090
    const int16x8_t root = vsubq_s16(all16(28210), vshlq_s16(clipped, all16(range_shift)));
    const int16x8_t square = multiply_round_q15(root, root);
    const int16x8_t tail = multiply_round_q15(square, square);
    const int16x8_t value = vsubq_s16(vmaxq_s16(x, all16(0)), multiply_round_q15(magnitude, tail));
    return vqaddq_s16(multiply_round_q15(value, vld1q_s16(multiplier)), zero_point);
}

}  // namespace

void pack_block(const std::int8_t* weight, std::size_t columns, std::size_t inputs, std::int8_t* packed) {
    const std::size_t quads = (inputs + 3) / 4;
    for (std::size_t vector = 0; vector < panels * quads * 4; ++vector) {
        const std::size_t panel = vector / (quads * 4), quad = vector / 4 % quads;
        std::int8_t quads_of_four[16];
        for (std::size_t i = 0; i < 16; ++i) {
            const std::size_t column = panel * tile_columns + vector % 4 * 4 + i / 4, k = quad * 4 + i % 4;
            quads_of_four[i] = column < columns && k < inputs ? weight[column * inputs + k] : std::int8_t{0};
        }
        vst1q_s8(packed + vector * 16, panel_vector(vld1q_s8(quads_of_four)));
    }
}

void linear_to_s32(const Linear& linear, Activations x, Range blocks, std::int32_t* out, std::size_t stride) {
    product(linear, x, blocks, [=] INTBERT_BODY(std::size_t row, std::size_t column, const int32x4_t(&acc)[4]) {
        unroll<4>([&] INTBERT_BODY(auto v) { vst1q_s32(out + row * stride + column + v * 4, acc[v]); });
    });
}

void linear_to_s8(const NarrowLinear& linear, int guard_bits, Activations x, Range blocks, std::int8_t* out,
                  std::size_t stride) {
    const int16x8_t guard = all16(-guard_bits);  // srshl: a rounding shift to the right (1.4)
    product(linear, x, blocks,
            [=, &linear] INTBERT_BODY(std::size_t row, std::size_t column, const int32x4_t(&acc)[4]) {
                const std::int32_t* shift = linear.shift + column;
                const std::int16_t* multiplier = linear.multiplier + column;
                const int16x8_t low = vrshlq_s16(narrow(acc[0], acc[1], shift, multiplier), guard);
                const int16x8_t high = vrshlq_s16(narrow(acc[2], acc[3], shift + 8, multiplier + 8), guard);
                vst1q_s8(out + row * stride + column, saturate8(low, high));  // (2.3)
            });
}

void linear_to_gelu(const NarrowLinear& linear, const Gelu& parameters, Activations x, Range blocks, std::uint8_t* out,
                    std::size_t stride) {
    const int range_shift = parameters.range_shift;
    const int16x8_t zero_point = all16(parameters.zero_point);
    const std::int16_t* scale = parameters.multiplier;
    product(linear, x, blocks,
            [=, &linear] INTBERT_BODY(std::size_t row, std::size_t column, const int32x4_t(&acc)[4]) {
                const std::int32_t* shift = linear.shift + column;
                const std::int16_t* multiplier = linear.multiplier + column;
                const int16x8_t x_low = narrow(acc[0], acc[1], shift, multiplier);
                const int16x8_t x_high = narrow(acc[2], acc[3], shift + 8, multiplier + 8);
                const int16x8_t low = gelu(x_low, scale + column, range_shift, zero_point);
                const int16x8_t high = gelu(x_high, scale + column + 8, range_shift, zero_point);
                vst1q_u8(out + row * stride + column, vqmovun_high_s16(vqmovun_s16(low), high));
            });
}

void linear_to_sums(const ResidualLinear& linear, Activations x, Range blocks, const std::int16_t* residual,
                    std::int32_t* sums, std::size_t stride) {
    const int32x4_t accumulator_shift = vdupq_n_s32(linear.accumulator_shift);
    const int32x4_t residual_shift = vdupq_n_s32(linear.residual_shift);
    product(linear, x, blocks,
            [=, &linear] INTBERT_BODY(std::size_t row, std::size_t column, const int32x4_t(&acc)[4]) {
                const std::size_t at = row * stride + column;
                unroll<4>([&] INTBERT_BODY(auto v) {
                    const int32x4_t old = vshlq_s32(vmovl_s16(vld1_s16(residual + at + v * 4)), residual_shift);
                    const int32x4_t multiplier = vld1q_s32(linear.multiplier + column + v * 4);
                    const int32x4_t h = multiply_high32_add(vshlq_s32(acc[v], accumulator_shift), multiplier, old);
                    vst1q_s32(sums + at + v * 4, saturate22(h));  // (2.4)
                });
            });
}

}  // namespace intbert::INTBERT_NEON
