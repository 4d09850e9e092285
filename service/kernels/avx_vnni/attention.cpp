#include "../avx2/attention.h"

#include "operations.h"

namespace intbert::avx_vnni {
namespace {

using namespace avx2;

// Quads of 8 bits for vpdpbusd. Keys are its unsigned operand, key + 128: the offset adds the same amount to all scores
// of a query, which the softmax does not see (4.1). Numerators are unsigned, values signed.
struct Quads {
    using Element = std::uint8_t;

    INTBERT_INLINE static HalfVector load_queries(const std::int8_t* p) { return load_half(p); }
    INTBERT_INLINE static HalfVector load_keys(const std::int8_t* p) {
        return _mm_xor_si128(load_half(p), _mm_set1_epi8(-128));
    }
    INTBERT_INLINE static void store_numerators(std::uint8_t* p, Vector v) { store_half(p, pack_u8(v)); }

    // The first eight dimensions to the lower lane, the others to the upper one: unpacking works by lane.
    INTBERT_INLINE static Vector spread(const std::int8_t* p) {
        return _mm256_permute4x64_epi64(_mm256_castsi128_si256(load_half(p)), 0x10);
    }
    INTBERT_INLINE static void pack_values(const std::int8_t* const (&rows)[4], Vector (&cells)[2]) {
        const Vector first = _mm256_unpacklo_epi8(spread(rows[0]), spread(rows[1]));
        const Vector second = _mm256_unpacklo_epi8(spread(rows[2]), spread(rows[3]));
        cells[0] = _mm256_unpacklo_epi16(first, second);
        cells[1] = _mm256_unpackhi_epi16(first, second);
    }

    static constexpr auto add_scores = [] INTBERT_BODY(Vector acc, Vector query, Vector keys) {
        return _mm256_dpbusd_avx_epi32(acc, keys, query);
    };
    static constexpr auto add_context = [] INTBERT_BODY(Vector acc, Vector numerators, Vector values) {
        return _mm256_dpbusd_avx_epi32(acc, numerators, values);
    };
};

}  // namespace

std::size_t attention_scratch_bytes(std::size_t keys, std::size_t head_dim) {
    return scratch_bytes<Quads>(keys, head_dim);
}

void attend(const AttentionHead& head, void* scratch) { attend_head<Quads>(head, scratch); }

}  // namespace intbert::avx_vnni
