// Attention of one head: keys and values packed once, then blocks of six queries whose scores stay in the first-level
// cache, from the product with the keys to the normalised context.
#include "../inlined/row_scale.h"
#include "operations.h"
#include "tile.h"

namespace intbert::avx512_vnni {
namespace {

// Keys in blocks of 64: (block, head_dim / 4, 64 keys, 4) as u8 = key + 128. The offset adds the same amount to all
// scores of a query, which the softmax does not see (4.1). Values: (head_dim / VECTORS, keys / 4, VECTORS, 16, 4).
struct Scratch {
    std::uint8_t* key;
    std::int8_t* value;
    std::int32_t* score;      // (6, padded keys)
    std::uint8_t* numerator;  // (6, padded keys)
    std::size_t padded_keys;  // whole blocks of 64
};

INTBERT_INLINE std::size_t padded(std::size_t keys) { return (keys + 63) / 64 * 64; }

INTBERT_INLINE Scratch partition(void* memory, std::size_t keys, std::size_t head_dim) {
    Scratch s{};
    s.padded_keys = padded(keys);
    s.key = static_cast<std::uint8_t*>(memory);
    s.value = reinterpret_cast<std::int8_t*>(s.key + s.padded_keys * head_dim);
    s.score = reinterpret_cast<std::int32_t*>(s.value + s.padded_keys * head_dim);
    s.numerator = reinterpret_cast<std::uint8_t*>(s.score + tile_rows * s.padded_keys);
    return s;
}

// Row i of a matrix with `keys` rows; rows past the end repeat the last one: a repeated key leaves the maximum as it
// is, and the numerators of both are cleared.
INTBERT_INLINE const std::int8_t* row_at(const std::int8_t* data, std::size_t stride, std::size_t i, std::size_t keys) {
    return data + (i < keys ? i : keys - 1) * stride;
}

INTBERT_INLINE Vector load_lanes(const std::int8_t* a, const std::int8_t* b, const std::int8_t* c,
                                 const std::int8_t* d) {
    Vector v = _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a)));
    v = _mm512_inserti32x4(v, _mm_loadu_si128(reinterpret_cast<const __m128i*>(b)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128(reinterpret_cast<const __m128i*>(c)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128(reinterpret_cast<const __m128i*>(d)), 3);
}

// Transposes quads of 16 keys at a time; vector j of a block holds key 16i + 4j + r in lane 4i + r, so that the packs
// of the softmax return the keys in order.
INTBERT_INLINE void pack_keys(const AttentionHead& head, std::uint8_t* packed) {
    for (std::size_t block = 0; block < head.keys; block += 64) {
        std::uint8_t* to = packed + block * head.head_dim;
        for (std::size_t j = 0; j < 4; ++j) {
            for (std::size_t d = 0; d < head.head_dim; d += 16) {
                Vector z[4];
                unroll<4>([&] INTBERT_BODY(auto r) {
                    const std::int8_t* from[4];
                    unroll<4>([&] INTBERT_BODY(auto i) {
                        from[i] = row_at(head.key, head.key_value_stride, block + 16 * i + 4 * j + r, head.keys) + d;
                    });
                    z[r] = _mm512_xor_si512(load_lanes(from[0], from[1], from[2], from[3]), all8(-128));
                });
                const Vector low01 = _mm512_unpacklo_epi32(z[0], z[1]), high01 = _mm512_unpackhi_epi32(z[0], z[1]);
                const Vector low23 = _mm512_unpacklo_epi32(z[2], z[3]), high23 = _mm512_unpackhi_epi32(z[2], z[3]);
                std::uint8_t* quad = to + (d / 4 * 4 + j) * 64;
                store(quad, _mm512_unpacklo_epi64(low01, low23));
                store(quad + 256, _mm512_unpackhi_epi64(low01, low23));
                store(quad + 512, _mm512_unpacklo_epi64(high01, high23));
                store(quad + 768, _mm512_unpackhi_epi64(high01, high23));
            }
        }
    }
}

INTBERT_INLINE Vector load_half(const std::int8_t* p) {
    return _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

// Interleaves the bytes of four keys; lanes follow the unpack instructions, which the final packs undo.
// VECTORS 4: 64 dimensions, vector j lane 4i + r is dimension 16i + 4j + r. VECTORS 2: 32 dimensions, j = 0, 1 and then
// j = 2, 3 in the halves of a vector.
template <int VECTORS>
INTBERT_INLINE void pack_values(const AttentionHead& head, std::size_t dimension, std::int8_t* to) {
    for (std::size_t key = 0; key < head.keys; key += 4) {
        Vector row[4];
        unroll<4>([&] INTBERT_BODY(auto i) {
            const std::int8_t* from = row_at(head.value, head.key_value_stride, key + i, head.keys) + dimension;
            row[i] = VECTORS == 4 ? load(from) : load_half(from);
        });
        const Vector low01 = _mm512_unpacklo_epi8(row[0], row[1]), high01 = _mm512_unpackhi_epi8(row[0], row[1]);
        const Vector low23 = _mm512_unpacklo_epi8(row[2], row[3]), high23 = _mm512_unpackhi_epi8(row[2], row[3]);
        const Vector quads[4] = {_mm512_unpacklo_epi16(low01, low23), _mm512_unpackhi_epi16(low01, low23),
                                 _mm512_unpacklo_epi16(high01, high23), _mm512_unpackhi_epi16(high01, high23)};
        if constexpr (VECTORS == 4) {
            unroll<4>([&] INTBERT_BODY(auto v) { store(to + v * 64, quads[v]); });
        } else {
            store(to, _mm512_inserti64x4(quads[0], _mm512_castsi512_si256(quads[1]), 1));
            store(to + 64, _mm512_inserti64x4(quads[2], _mm512_castsi512_si256(quads[3]), 1));
        }
        to += VECTORS * 64;
    }
}

// Scores of ROWS queries; returns each row's maxima by lane.
template <int ROWS>
INTBERT_INLINE void score(const AttentionHead& head, const Scratch& s, const std::int8_t* query, Vector (&top)[ROWS]) {
    unroll<ROWS>([&] INTBERT_BODY(auto r) { top[r] = all32(-0x7FFFFFFF); });
    for (std::size_t block = 0; block < s.padded_keys; block += 64) {
        Tile<ROWS, 4> acc;
        clear<ROWS, 4>(acc);
        accumulate<Panel::u8, ROWS, 4>(acc, query, head.query_stride, s.key + block * head.head_dim, head.head_dim);
        unroll<ROWS>([&] INTBERT_BODY(auto r) {
            std::int32_t* to = s.score + r * s.padded_keys + block;
            unroll<4>([&] INTBERT_BODY(auto v) { store(to + v * 16, acc[r][v]); });
            const Vector low = _mm512_max_epi32(acc[r][0], acc[r][1]), high = _mm512_max_epi32(acc[r][2], acc[r][3]);
            top[r] = _mm512_max_epi32(top[r], _mm512_max_epi32(low, high));
        });
    }
}

// (4.1)-(4.3) of 32 keys in 16-bit lanes. `top` holds the row's maximum plus the rounding constant.
INTBERT_INLINE Vector numerators(const AttentionHead& head, const std::int32_t* score, Vector top) {
    const __m128i score_shift = _mm_cvtsi32_si128(head.score_shift);
    const Vector low = _mm512_sra_epi32(_mm512_sub_epi32(top, load(score)), score_shift);
    const Vector high = _mm512_sra_epi32(_mm512_sub_epi32(top, load(score + 16)), score_shift);
    const Vector t = multiply_round_q15(_mm512_packs_epi32(low, high), all16(head.score_multiplier));
    const Vector whole_fraction = _mm512_sll_epi16(t, _mm_cvtsi32_si128(15 - head.exp_fraction_bits));
    const Vector fraction = _mm512_and_si512(whole_fraction, all16(32767));
    const Vector slope = _mm512_sub_epi16(all16(22024), multiply_round_q15(fraction, all16(5640)));  // 0.67212, 0.17212
    const Vector mantissa = _mm512_sub_epi16(all16(32767), multiply_round_q15(fraction, slope));
    const Vector e = _mm512_srlv_epi16(mantissa, _mm512_srl_epi16(t, _mm_cvtsi32_si128(head.exp_fraction_bits)));
    return multiply_round_q15(e, all16(255));
}

// Scores to u8 numerators; returns their sum, the denominator.
INTBERT_INLINE std::int32_t softmax_row(const AttentionHead& head, const std::int32_t* score, Vector top,
                                        std::uint8_t* out) {
    const int rounding = (1 << head.score_shift) >> 1;
    const Vector maximum = all32(_mm512_reduce_max_epi32(top) + rounding);
    Vector sum = zero();
    for (std::size_t key = 0; key < head.keys; key += 64) {
        const Vector low = numerators(head, score + key, maximum);
        const Vector high = numerators(head, score + key + 32, maximum);
        const std::size_t left = head.keys - key;
        const __mmask64 present = left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
        const Vector packed = _mm512_maskz_mov_epi8(present, _mm512_packus_epi16(low, high));
        store(out + key, packed);
        sum = _mm512_add_epi64(sum, _mm512_sad_epu8(packed, zero()));
    }
    return static_cast<std::int32_t>(_mm512_reduce_add_epi64(sum));
}

INTBERT_INLINE Vector normalise(Vector low, Vector high, RowScale scale) {
    const __m128i shift = _mm_cvtsi32_si128(scale.shift);
    const Vector sums16 = _mm512_packs_epi32(_mm512_sra_epi32(low, shift), _mm512_sra_epi32(high, shift));
    return shift_round16(multiply_round_q15(sums16, all16(scale.multiplier)), 5);
}

template <int VECTORS>
INTBERT_INLINE void store_context(const Vector* acc, RowScale scale, std::uint8_t* to) {
    if constexpr (VECTORS == 4) {
        store(to, pack_offset_u8(normalise(acc[0], acc[1], scale), normalise(acc[2], acc[3], scale)));
    } else {
        const Vector j1 = _mm512_shuffle_i64x2(acc[0], acc[0], 0x4E), j3 = _mm512_shuffle_i64x2(acc[1], acc[1], 0x4E);
        const Vector packed = pack_offset_u8(normalise(acc[0], j1, scale), normalise(acc[1], j3, scale));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(packed));
    }
}

template <int ROWS, int VECTORS>
INTBERT_INLINE void context(const AttentionHead& head, const Scratch& s, const RowScale* scale, std::size_t row,
                            std::size_t dimension) {
    Tile<ROWS, VECTORS> acc;
    clear<ROWS, VECTORS>(acc);
    const std::size_t quads = (head.keys + 3) / 4;
    accumulate<Panel::s8, ROWS, VECTORS>(acc, s.numerator, s.padded_keys, s.value + s.padded_keys * dimension,
                                         quads * 4);
    unroll<ROWS>([&] INTBERT_BODY(auto r) {
        std::uint8_t* to = head.context + (row + r) * head.context_stride + dimension;
        store_context<VECTORS>(acc[r], scale[r], to);
    });
}

template <int ROWS>
INTBERT_INLINE void attend_rows(const AttentionHead& head, const Scratch& s, std::size_t row) {
    Vector top[ROWS];
    score<ROWS>(head, s, head.query + row * head.query_stride, top);
    RowScale scale[ROWS];
    unroll<ROWS>([&] INTBERT_BODY(auto r) {
        const std::size_t at = r * s.padded_keys;
        const std::int32_t denominator = softmax_row(head, s.score + at, top[r], s.numerator + at);
        scale[r] = row_scale(denominator, head.context_multiplier);
    });
    std::size_t dimension = 0;
    for (; dimension + 64 <= head.head_dim; dimension += 64) context<ROWS, 4>(head, s, scale, row, dimension);
    if (dimension < head.head_dim) context<ROWS, 2>(head, s, scale, row, dimension);
}

}  // namespace

std::size_t attention_scratch_bytes(std::size_t keys, std::size_t head_dim) {
    return padded(keys) * (2 * head_dim + tile_rows * (sizeof(std::int32_t) + 1));
}

void attend(const AttentionHead& head, void* scratch) {
    const Scratch s = partition(scratch, head.keys, head.head_dim);
    pack_keys(head, s.key);
    std::size_t dimension = 0;
    for (; dimension + 64 <= head.head_dim; dimension += 64) {
        pack_values<4>(head, dimension, s.value + s.padded_keys * dimension);
    }
    if (dimension < head.head_dim) pack_values<2>(head, dimension, s.value + s.padded_keys * dimension);
    for_each_tile<tile_rows>(head.queries,
                             [&](auto height, std::size_t row) { attend_rows<decltype(height)::value>(head, s, row); });
}

}  // namespace intbert::avx512_vnni
