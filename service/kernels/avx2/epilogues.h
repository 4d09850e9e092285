// Linear layers on top of any product of this width, shared with avx_vnni: requantisation, GELU or residual addition on
// the registers that accumulated.
//
// product(linear, x, blocks, epilogue) calls epilogue(row, column, low, high) with the 32-bit sums of the 16 columns
// from `column` on.
#pragma once

#include "../kernels.h"
#include "simd.h"

namespace intbert::avx2 {
namespace {

// (2.2) of 16 columns.
INTBERT_INLINE Vector narrow(Vector low, Vector high, const NarrowLinear& linear, std::size_t column) {
    const std::int32_t* shift = linear.shift + column;
    const Vector packed =
        _mm256_packs_epi32(_mm256_srav_epi32(low, load(shift)), _mm256_srav_epi32(high, load(shift + 8)));
    return multiply_round_q15(packed, load(linear.multiplier + column));
}

// (5.1), (5.2) of 16 columns, before the final clamp.
INTBERT_INLINE Vector gelu(Vector x, const std::int16_t* multiplier, int range_shift, Vector zero_point) {
    const Vector magnitude = _mm256_abs_epi16(x);  // -32768 stays 0x8000, above every unsigned 16-bit magnitude
    const Vector clipped = _mm256_min_epu16(magnitude, all16(28210 >> range_shift));  // 0.86090
    const Vector root = _mm256_sub_epi16(all16(28210), _mm256_sll_epi16(clipped, _mm_cvtsi32_si128(range_shift)));
    const Vector square = multiply_round_q15(root, root);
    const Vector tail = multiply_round_q15(square, square);
    const Vector value = _mm256_sub_epi16(_mm256_max_epi16(x, zero()), multiply_round_q15(magnitude, tail));
    return _mm256_adds_epi16(multiply_round_q15(value, load(multiplier)), zero_point);
}

template <class Product>
INTBERT_INLINE void to_s32(Product product, const Linear& linear, Activations x, Range blocks, std::int32_t* out,
                           std::size_t stride) {
    product(linear, x, blocks, [=] INTBERT_BODY(std::size_t row, std::size_t column, Vector low, Vector high) {
        store(out + row * stride + column, low);
        store(out + row * stride + column + 8, high);
    });
}

template <class Product>
INTBERT_INLINE void to_s8(Product product, const NarrowLinear& linear, int guard_bits, Activations x, Range blocks,
                          std::int8_t* out, std::size_t stride) {
    product(linear, x, blocks, [=, &linear] INTBERT_BODY(std::size_t row, std::size_t column, Vector low, Vector high) {
        const Vector q = shift_round16(narrow(low, high, linear, column), guard_bits);
        store_half(out + row * stride + column, pack_s8(q));  // (2.3)
    });
}

template <class Product>
INTBERT_INLINE void to_gelu(Product product, const NarrowLinear& linear, const Gelu& parameters, Activations x,
                            Range blocks, std::uint8_t* out, std::size_t stride) {
    const int range_shift = parameters.range_shift;
    const Vector zero_point = all16(parameters.zero_point);
    const std::int16_t* multiplier = parameters.multiplier;
    product(linear, x, blocks, [=, &linear] INTBERT_BODY(std::size_t row, std::size_t column, Vector low, Vector high) {
        const Vector value = gelu(narrow(low, high, linear, column), multiplier + column, range_shift, zero_point);
        store_half(out + row * stride + column, pack_u8(value));
    });
}

template <class Product>
INTBERT_INLINE void to_sums(Product product, const ResidualLinear& linear, Activations x, Range blocks,
                            const std::int16_t* residual, std::int32_t* sums, std::size_t stride) {
    const __m128i accumulator_shift = _mm_cvtsi32_si128(linear.accumulator_shift);
    // The residual's 16 bits enter the upper half of a lane, so the shift down leaves residual << residual_shift.
    const __m128i residual_shift = _mm_cvtsi32_si128(16 - linear.residual_shift);
    const std::int32_t* multiplier = linear.multiplier;
    const auto add = [=] INTBERT_BODY(Vector acc, Vector old, std::size_t column) {  // (2.4)
        const Vector scaled = multiply_high32(_mm256_sll_epi32(acc, accumulator_shift), load(multiplier + column));
        return saturate22(_mm256_add_epi32(_mm256_sra_epi32(old, residual_shift), scaled));
    };
    product(linear, x, blocks, [=] INTBERT_BODY(std::size_t row, std::size_t column, Vector low, Vector high) {
        const std::size_t at = row * stride + column;
        const Vector old = load(residual + at);
        store(sums + at, add(low, _mm256_unpacklo_epi16(zero(), old), column));
        store(sums + at + 8, add(high, _mm256_unpackhi_epi16(zero(), old), column + 8));
    });
}

}  // namespace
}  // namespace intbert::avx2
