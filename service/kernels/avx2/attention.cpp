#include "attention.h"

#include "operations.h"

namespace intbert::avx2 {
namespace {

// Pairs of 16 bits: vpmaddwd is exact. (Winograd's product would have to correct each key and each dimension.)
struct Pairs {
    using Element = std::int16_t;

    INTBERT_INLINE static HalfVector widen(const std::int8_t* p) {
        return _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    }
    INTBERT_INLINE static HalfVector load_queries(const std::int8_t* p) { return widen(p); }
    INTBERT_INLINE static HalfVector load_keys(const std::int8_t* p) { return widen(p); }
    INTBERT_INLINE static void store_numerators(std::int16_t* p, Vector v) { store(p, v); }

    INTBERT_INLINE static void pack_values(const std::int8_t* const (&rows)[2], Vector (&cells)[2]) {
        const Vector first = _mm256_cvtepi8_epi16(load_half(rows[0]));
        const Vector second = _mm256_cvtepi8_epi16(load_half(rows[1]));
        cells[0] = _mm256_unpacklo_epi16(first, second);
        cells[1] = _mm256_unpackhi_epi16(first, second);
    }

    INTBERT_INLINE static Vector multiply_add(Vector acc, Vector row, Vector columns) {
        return _mm256_add_epi32(acc, _mm256_madd_epi16(row, columns));
    }
    static constexpr auto add_scores = [] INTBERT_BODY(Vector acc, Vector query, Vector keys) {
        return multiply_add(acc, query, keys);
    };
    static constexpr auto add_context = [] INTBERT_BODY(Vector acc, Vector numerators, Vector values) {
        return multiply_add(acc, numerators, values);
    };
};

}  // namespace

std::size_t attention_scratch_bytes(std::size_t keys, std::size_t head_dim) {
    return scratch_bytes<Pairs>(keys, head_dim);
}

void attend(const AttentionHead& head, void* scratch) { attend_head<Pairs>(head, scratch); }

}  // namespace intbert::avx2
