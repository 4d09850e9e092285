// Embedding sums and LayerNorm; avx_vnni uses them too.
#include "../inlined/standardisation.h"
#include "operations.h"
#include "simd.h"

namespace intbert::avx2 {
namespace {

INTBERT_INLINE std::int64_t sum_of_squares(const std::int32_t* h, std::size_t stride, std::int32_t mean) {
    Vector even = zero(), odd = zero();
    for (std::size_t c = 0; c < stride; c += 8) {
        const Vector y = _mm256_sub_epi32(load(h + c), all32(mean));
        const Vector upper_y = _mm256_srli_epi64(y, 32);
        even = _mm256_add_epi64(even, _mm256_mul_epi32(y, y));
        odd = _mm256_add_epi64(odd, _mm256_mul_epi32(upper_y, upper_y));
    }
    return sum_of_64(_mm256_add_epi64(even, odd));
}

INTBERT_INLINE Standardisation statistics(const std::int32_t* h, std::size_t stride, std::size_t channels) {
    Vector totals = zero();
    for (std::size_t c = 0; c < stride; c += 8) totals = _mm256_add_epi32(totals, load(h + c));
    const std::int32_t mean = rounded_mean(sum_of_32(totals), channels);
    return standardisation(mean, sum_of_squares(h, stride, mean), stride - channels);
}

// (3.4), (3.5) of 8 channels, before saturation.
INTBERT_INLINE Vector normalise(const LayerNorm& norm, std::size_t c, Vector h, const Standardisation& s) {
    const Vector centred = _mm256_sll_epi32(_mm256_sub_epi32(h, all32(s.mean)), _mm_cvtsi32_si128(s.half_shift));
    const Vector z = multiply_high32(centred, all32(s.reciprocal));
    const Vector scaled = _mm256_add_epi32(multiply_high32(z, load(norm.gain + c)), load(norm.bias + c));
    return _mm256_sra_epi32(scaled, _mm_cvtsi32_si128(norm.shift));
}

constexpr std::size_t rows_ahead = 3;  // words of a text lie anywhere in the table

INTBERT_INLINE void fetch(const std::int8_t* row, std::size_t size) {
    for (std::size_t i = 0; i < size; i += 64) _mm_prefetch(reinterpret_cast<const char*>(row + i), _MM_HINT_T0);
}

struct EmbeddingRow {
    const std::int8_t* word;
    const std::int16_t *position, *token_type;
    std::int32_t word_multiplier;
};

// (6.1) of one token. The multiply-add of 16-bit pairs: (word, 0) . (multiplier, 0) and (position, type) . (1, 1)
INTBERT_INLINE void add_up(const EmbeddingRow& row, std::size_t stride, int position_shift, std::int32_t* sums) {
    const __m128i shift = _mm_cvtsi32_si128(position_shift);
    const Vector multiplier = all32(row.word_multiplier);  // not negative: a pair of itself and 0
    for (std::size_t c = 0; c < stride; c += group_columns) {
        const Vector word = _mm256_cvtepi8_epi16(load_half(row.word + c));
        const Vector position = load(row.position + c), type = load(row.token_type + c);
        const Vector low = _mm256_madd_epi16(_mm256_unpacklo_epi16(word, zero()), multiplier);
        const Vector high = _mm256_madd_epi16(_mm256_unpackhi_epi16(word, zero()), multiplier);
        const Vector place_low = _mm256_madd_epi16(_mm256_unpacklo_epi16(position, type), all16(1));
        const Vector place_high = _mm256_madd_epi16(_mm256_unpackhi_epi16(position, type), all16(1));
        store(sums + c, _mm256_add_epi32(low, _mm256_sll_epi32(place_low, shift)));
        store(sums + c + 8, _mm256_add_epi32(high, _mm256_sll_epi32(place_high, shift)));
    }
}

}  // namespace

void embed(const Embedding& table, const std::int32_t* token_ids, const std::int32_t* type_ids,
           const std::int32_t* positions, std::size_t rows, std::int32_t* sums) {
    const auto offset = [&](std::int32_t index) { return static_cast<std::size_t>(index) * table.stride; };
    for (std::size_t row = 0; row < rows; ++row) {
        if (row + rows_ahead < rows) fetch(table.word + offset(token_ids[row + rows_ahead]), table.stride);
        const EmbeddingRow from{table.word + offset(token_ids[row]), table.position + offset(positions[row]),
                                table.token_type + offset(type_ids[row]), table.word_multiplier[token_ids[row]]};
        add_up(from, table.stride, table.position_shift, sums + row * table.stride);
    }
}

void layer_norm(const LayerNorm& norm, const std::int32_t* sums, std::size_t rows, std::size_t stride,
                std::int16_t* residual, std::uint8_t* view) {
    for (std::size_t row = 0; row < rows; ++row) {
        const std::int32_t* h = sums + row * stride;
        const Standardisation s = statistics(h, stride, norm.channels);
        for (std::size_t c = 0; c < stride; c += group_columns) {
            const Vector low = normalise(norm, c, load(h + c), s), high = normalise(norm, c + 8, load(h + c + 8), s);
            const Vector o = _mm256_packs_epi32(low, high);
            store(residual + row * stride + c, o);
            const Vector q = multiply_round_q15(o, load(norm.view + c));
            store_half(view + row * stride + c, pack_offset_u8(q));  // (3.6)
        }
    }
}

}  // namespace intbert::avx2
