// Vector forms of docs/arithmetic.md, section 1, in 256 bits; shared with avx_vnni. Everything is always_inline and in
// an unnamed namespace: nothing compiled with these flags can be linked into other code. For the same reason no
// standard library template is used here.
//
// 16-bit vectors hold 16 columns in natural order. Two 32-bit vectors j = 0, 1 hold them as the pack instruction takes
// them: column 8i + 4j + r in lane 4i + r of vector j.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "../inlined/unroll.h"

namespace intbert::avx2 {
namespace {

using Vector = __m256i;
using HalfVector = __m128i;  // 16 columns of 8 bits

constexpr std::size_t group_columns = 16;

INTBERT_INLINE Vector load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
INTBERT_INLINE void store(void* p, Vector v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
INTBERT_INLINE HalfVector load_half(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
INTBERT_INLINE void store_half(void* p, HalfVector v) { _mm_storeu_si128(static_cast<__m128i*>(p), v); }
INTBERT_INLINE Vector zero() { return _mm256_setzero_si256(); }
INTBERT_INLINE Vector all16(int v) { return _mm256_set1_epi16(static_cast<short>(v)); }
INTBERT_INLINE Vector all32(int v) { return _mm256_set1_epi32(v); }

// Four bytes, in every lane.
INTBERT_INLINE Vector broadcast_cell(const void* p) {
    std::int32_t cell;
    __builtin_memcpy(&cell, p, sizeof cell);
    return _mm256_set1_epi32(cell);
}

INTBERT_INLINE HalfVector upper(Vector v) { return _mm256_extracti128_si256(v, 1); }
INTBERT_INLINE HalfVector lower(Vector v) { return _mm256_castsi256_si128(v); }

INTBERT_INLINE std::int64_t sum_of_64(Vector v) {
    const HalfVector pair = _mm_add_epi64(lower(v), upper(v));
    return _mm_cvtsi128_si64(_mm_add_epi64(pair, _mm_unpackhi_epi64(pair, pair)));
}

INTBERT_INLINE std::int32_t sum_of_32(Vector v) {
    const HalfVector four = _mm_add_epi32(lower(v), upper(v));
    const HalfVector two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

INTBERT_INLINE std::int32_t maximum_of_32(Vector v) {
    const HalfVector four = _mm_max_epi32(lower(v), upper(v));
    const HalfVector two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1)));
}

INTBERT_INLINE Vector multiply_round_q15(Vector a, Vector b) { return _mm256_mulhrs_epi16(a, b); }  // (1.5)

// (1.4) on 16-bit lanes, 1 <= shift <= 15: x * 2^(15 - shift) in Q15 is the same number.
INTBERT_INLINE Vector shift_round16(Vector x, int shift) { return _mm256_mulhrs_epi16(x, all16(1 << (15 - shift))); }

INTBERT_INLINE Vector multiply_high32(Vector a, Vector b) {  // (1.6)
    const Vector even = _mm256_srli_epi64(_mm256_mul_epi32(a, b), 32);
    const Vector odd = _mm256_mul_epi32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
    return _mm256_blend_epi32(even, odd, 0xAA);
}

INTBERT_INLINE Vector saturate22(Vector x) {  // (1.3)
    return _mm256_max_epi32(_mm256_min_epi32(x, all32((1 << 21) - 1)), all32(-((1 << 21) - 1)));
}

// 16-bit lanes to saturated s8 (1.1), to the same as u8 = s8 + 128, and to u8 between 0 and 255.
INTBERT_INLINE HalfVector pack_s8(Vector x) {
    return _mm_max_epi8(_mm_packs_epi16(lower(x), upper(x)), _mm_set1_epi8(-127));
}
INTBERT_INLINE HalfVector pack_offset_u8(Vector x) { return _mm_xor_si128(pack_s8(x), _mm_set1_epi8(-128)); }
INTBERT_INLINE HalfVector pack_u8(Vector x) { return _mm_packus_epi16(lower(x), upper(x)); }

// x >> n lane by lane, 0 <= x < 2^15, 0 <= n <= 15: AVX2 shifts no 16-bit lanes by numbers of their own. It is the
// upper half of 2x * 2^(15 - n); a byte of that power is 2^(7 - i) for i = n (upper byte) or n - 8 (lower), and 0
// otherwise.
INTBERT_INLINE Vector shift_each16(Vector x, Vector n) {
    const HalfVector powers = _mm_setr_epi8(-128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    const Vector index = _mm256_xor_si256(_mm256_mullo_epi16(n, all16(0x0101)), all16(8));
    const Vector power = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(powers), index);
    return _mm256_mulhi_epu16(_mm256_add_epi16(x, x), power);
}

}  // namespace
}  // namespace intbert::avx2
