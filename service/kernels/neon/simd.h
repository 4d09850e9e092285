// Vector forms of docs/arithmetic.md, section 1. Everything is always_inline and in an unnamed namespace: nothing
// compiled with dotprod's flags can be linked into other code. For the same reason no standard library template is used
// here.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "../inlined/unroll.h"

namespace intbert::INTBERT_NEON {
namespace {

// x >> shift, towards minus infinity: NEON shifts right by a negative number to the left.
INTBERT_INLINE int32x4_t shift_right(int32x4_t x, int shift) { return vshlq_s32(x, vdupq_n_s32(-shift)); }

INTBERT_INLINE int16x8_t all16(int v) { return vdupq_n_s16(static_cast<std::int16_t>(v)); }

// (1.5): sqrdmulh rounds 2ab at bit 15 and keeps the upper half.
INTBERT_INLINE int16x8_t multiply_round_q15(int16x8_t a, int16x8_t b) { return vqrdmulhq_s16(a, b); }

// (1.6) of a and b plus c: sqdmulh is (2ab) >> 32, and half of that, towards minus infinity, is (ab) >> 32. It
// saturates for -2^31 twice only, and b is never that.
INTBERT_INLINE int32x4_t multiply_high32_add(int32x4_t a, int32x4_t b, int32x4_t c) {
    return vsraq_n_s32(c, vqdmulhq_s32(a, b), 1);
}
INTBERT_INLINE int32x4_t multiply_high32(int32x4_t a, int32x4_t b) { return vshrq_n_s32(vqdmulhq_s32(a, b), 1); }

INTBERT_INLINE int16x8_t saturate16(int32x4_t low, int32x4_t high) {  // (1.2)
    return vqmovn_high_s32(vqmovn_s32(low), high);
}

INTBERT_INLINE int32x4_t saturate22(int32x4_t x) {  // (1.3)
    return vmaxq_s32(vminq_s32(x, vdupq_n_s32((1 << 21) - 1)), vdupq_n_s32(-((1 << 21) - 1)));
}

INTBERT_INLINE int8x16_t saturate8(int16x8_t low, int16x8_t high) {  // (1.1)
    return vmaxq_s8(vqmovn_high_s16(vqmovn_s16(low), high), vdupq_n_s8(-127));
}

// s8 + 128 as u8, and u8 - 128 as s8.
INTBERT_INLINE uint8x16_t to_offset(int8x16_t x) { return veorq_u8(vreinterpretq_u8_s8(x), vdupq_n_u8(128)); }
INTBERT_INLINE int8x16_t from_offset(uint8x16_t x) { return vreinterpretq_s8_u8(veorq_u8(x, vdupq_n_u8(128))); }

}  // namespace
}  // namespace intbert::INTBERT_NEON
