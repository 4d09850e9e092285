// Vector forms of docs/arithmetic.md, section 1. Everything is always_inline and in an unnamed namespace: nothing
// compiled with these flags can be linked into other code. For the same reason no standard library template is used
// here.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "../inlined/unroll.h"

namespace intbert::avx512_vnni {
namespace {

using Vector = __m512i;

INTBERT_INLINE Vector load(const void* p) { return _mm512_loadu_si512(p); }
INTBERT_INLINE void store(void* p, Vector v) { _mm512_storeu_si512(p, v); }
INTBERT_INLINE Vector zero() { return _mm512_setzero_si512(); }
INTBERT_INLINE Vector all8(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }
INTBERT_INLINE Vector all16(int v) { return _mm512_set1_epi16(static_cast<short>(v)); }
INTBERT_INLINE Vector all32(int v) { return _mm512_set1_epi32(v); }

// Four 8-bit values, in every lane.
INTBERT_INLINE Vector broadcast_quad(const void* p) {
    std::int32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    return _mm512_set1_epi32(quad);
}

INTBERT_INLINE Vector multiply_round_q15(Vector a, Vector b) { return _mm512_mulhrs_epi16(a, b); }  // (1.5)

// (1.4) on 16-bit lanes, 1 <= shift <= 15: x * 2^(15 - shift) in Q15 is the same number.
INTBERT_INLINE Vector shift_round16(Vector x, int shift) { return _mm512_mulhrs_epi16(x, all16(1 << (15 - shift))); }

INTBERT_INLINE Vector multiply_high32(Vector a, Vector b) {  // (1.6)
    const Vector even = _mm512_srli_epi64(_mm512_mul_epi32(a, b), 32);
    const Vector odd = _mm512_mul_epi32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    return _mm512_mask_mov_epi32(even, 0xAAAA, odd);
}

INTBERT_INLINE Vector saturate22(Vector x) {  // (1.3)
    return _mm512_max_epi32(_mm512_min_epi32(x, all32((1 << 21) - 1)), all32(-((1 << 21) - 1)));
}

// Two vectors of 16-bit lanes to saturated s8 (1.1), and the same as u8 = s8 + 128.
INTBERT_INLINE Vector pack_s8(Vector low, Vector high) {
    return _mm512_max_epi8(_mm512_packs_epi16(low, high), all8(-127));
}
INTBERT_INLINE Vector pack_offset_u8(Vector low, Vector high) {
    return _mm512_xor_si512(pack_s8(low, high), all8(-128));
}

}  // namespace
}  // namespace intbert::avx512_vnni
