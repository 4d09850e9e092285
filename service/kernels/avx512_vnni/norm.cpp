// Embedding sums and LayerNorm.
#include "../inlined/standardisation.h"
#include "operations.h"
#include "simd.h"

namespace intbert::avx512_vnni {
namespace {

INTBERT_INLINE Standardisation statistics(const std::int32_t* h, std::size_t stride, std::size_t channels) {
    Vector totals = zero();
    for (std::size_t c = 0; c < stride; c += 16) totals = _mm512_add_epi32(totals, load(h + c));
    const std::int32_t mean = rounded_mean(_mm512_reduce_add_epi32(totals), channels);
    Vector even = zero(), odd = zero();
    const Vector means = all32(mean);
    for (std::size_t c = 0; c < stride; c += 16) {
        const Vector y = _mm512_sub_epi32(load(h + c), means);
        const Vector upper = _mm512_srli_epi64(y, 32);
        even = _mm512_add_epi64(even, _mm512_mul_epi32(y, y));
        odd = _mm512_add_epi64(odd, _mm512_mul_epi32(upper, upper));
    }
    const std::int64_t squares = _mm512_reduce_add_epi64(_mm512_add_epi64(even, odd));
    return standardisation(mean, squares, stride - channels);
}

// (3.4), (3.5) of 16 channels, before saturation.
INTBERT_INLINE Vector normalise(const LayerNorm& norm, std::size_t c, Vector h, const Standardisation& s,
                                __m128i shift) {
    const Vector centred = _mm512_sll_epi32(_mm512_sub_epi32(h, all32(s.mean)), _mm_cvtsi32_si128(s.half_shift));
    const Vector z = multiply_high32(centred, all32(s.reciprocal));
    return _mm512_sra_epi32(_mm512_add_epi32(multiply_high32(z, load(norm.gain + c)), load(norm.bias + c)), shift);
}

constexpr std::size_t rows_ahead = 3;  // words of a text lie anywhere in the table

INTBERT_INLINE void fetch(const std::int8_t* row, std::size_t size) {
    for (std::size_t i = 0; i < size; i += 64) _mm_prefetch(reinterpret_cast<const char*>(row + i), _MM_HINT_T0);
}

}  // namespace

void embed(const Embedding& table, const std::int32_t* token_ids, const std::int32_t* type_ids,
           const std::int32_t* positions, std::size_t rows, std::int32_t* sums) {
    const __m128i shift = _mm_cvtsi32_si128(table.position_shift);
    for (std::size_t row = 0; row < rows; ++row) {
        const auto token = static_cast<std::size_t>(token_ids[row]);
        const std::int8_t* word = table.word + token * table.stride;
        if (row + rows_ahead < rows)
            fetch(table.word + static_cast<std::size_t>(token_ids[row + rows_ahead]) * table.stride, table.stride);
        const std::int16_t* position = table.position + static_cast<std::size_t>(positions[row]) * table.stride;
        const std::int16_t* type = table.token_type + static_cast<std::size_t>(type_ids[row]) * table.stride;
        const Vector multiplier = all32(table.word_multiplier[token]);  // not negative: a pair of itself and 0
        for (std::size_t c = 0; c < table.stride; c += 64) {
            const Vector words = load(word + c);
            for (std::size_t half = 0; half < 2; ++half) {
                const Vector wide =
                    half == 0 ? _mm512_unpacklo_epi8(zero(), words) : _mm512_unpackhi_epi8(zero(), words);
                const Vector word16 = _mm512_srai_epi16(wide, 8);
                const std::size_t at = c + half * 32;
                const Vector p = load(position + at), t = load(type + at);
                // The multiply-add of 16-bit pairs: (word, 0) . (multiplier, 0) and (position, type) . (1, 1)
                const Vector low = _mm512_madd_epi16(_mm512_unpacklo_epi16(word16, zero()), multiplier);
                const Vector high = _mm512_madd_epi16(_mm512_unpackhi_epi16(word16, zero()), multiplier);
                const Vector place_low = _mm512_madd_epi16(_mm512_unpacklo_epi16(p, t), all16(1));
                const Vector place_high = _mm512_madd_epi16(_mm512_unpackhi_epi16(p, t), all16(1));
                std::int32_t* out = sums + row * table.stride + at;
                store(out, _mm512_add_epi32(low, _mm512_sll_epi32(place_low, shift)));  // (6.1)
                store(out + 16, _mm512_add_epi32(high, _mm512_sll_epi32(place_high, shift)));
            }
        }
    }
}

void layer_norm(const LayerNorm& norm, const std::int32_t* sums, std::size_t rows, std::size_t stride,
                std::int16_t* residual, std::uint8_t* view) {
    const __m128i shift = _mm_cvtsi32_si128(norm.shift);
    for (std::size_t row = 0; row < rows; ++row) {
        const std::int32_t* h = sums + row * stride;
        const Standardisation s = statistics(h, stride, norm.channels);
        for (std::size_t c = 0; c < stride; c += 64) {
            Vector o[4];
            unroll<4>([&] INTBERT_BODY(auto v) { o[v] = normalise(norm, c + v * 16, load(h + c + v * 16), s, shift); });
            const Vector low = _mm512_packs_epi32(o[0], o[1]), high = _mm512_packs_epi32(o[2], o[3]);
            store(residual + row * stride + c, low);
            store(residual + row * stride + c + 32, high);
            const Vector view_low = multiply_round_q15(low, load(norm.view + c));  // (3.6)
            const Vector view_high = multiply_round_q15(high, load(norm.view + c + 32));
            store(view + row * stride + c, pack_offset_u8(view_low, view_high));
        }
    }
}

}  // namespace intbert::avx512_vnni
