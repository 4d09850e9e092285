// Attention of one head, shared with avx_vnni: keys and values packed once, then blocks of six queries whose scores
// stay in the first-level cache, from the product with the keys to the normalised context.
//
// All operands of the two products come in cells of 32 bits, whose elements a set's `Cells` chooses:
//   Element                        s16, two a cell, or s8/u8, four a cell
//   load_queries(p), load_keys(p)   16 bytes of cells from s8
//   store_numerators(p, v)         16 numerators of 16 bits
//   pack_values(rows, vectors)     16 dimensions of as many s8 rows as a cell has elements, to two vectors of cells
//   add_scores(acc, query, keys), add_context(acc, numerators, values): multiply-add of a cell in every lane
#pragma once

#include "../inlined/row_scale.h"
#include "../kernels.h"
#include "tile.h"

namespace intbert::avx2 {
namespace {

constexpr std::size_t cell_bytes = 4;

template <class Cells>
constexpr std::size_t cell_size = cell_bytes / sizeof(typename Cells::Element);

template <class Cells>
struct Scratch {
    using Element = typename Cells::Element;
    Element* key;         // (groups of 16 keys, head_dim cells, 16 keys)
    Element* value;       // (groups of 16 dimensions, padded_keys cells, 16 dimensions)
    Element* query;       // (6, head_dim)
    std::int32_t* score;  // (6, padded_keys)
    Element* numerator;   // (6, padded_keys)
    std::size_t padded_keys;
};

INTBERT_INLINE std::size_t padded(std::size_t keys) {
    return (keys + group_columns - 1) / group_columns * group_columns;
}

template <class Cells>
INTBERT_INLINE Scratch<Cells> partition(void* memory, std::size_t keys, std::size_t head_dim) {
    using Element = typename Cells::Element;
    Scratch<Cells> s{};
    s.padded_keys = padded(keys);
    s.key = static_cast<Element*>(memory);
    s.value = s.key + s.padded_keys * head_dim;
    s.query = s.value + s.padded_keys * head_dim;
    s.score = reinterpret_cast<std::int32_t*>(s.query + tile_rows * head_dim);
    s.numerator = reinterpret_cast<Element*>(s.score + tile_rows * s.padded_keys);
    return s;
}

template <class Cells>
INTBERT_INLINE std::size_t scratch_bytes(std::size_t keys, std::size_t head_dim) {
    const std::size_t rows = tile_rows * (head_dim + padded(keys));
    return (2 * padded(keys) * head_dim + rows) * sizeof(typename Cells::Element) +
           tile_rows * padded(keys) * sizeof(std::int32_t);
}

// Row i of a matrix with `keys` rows; rows past the end repeat the last one: a repeated key leaves the maximum as it
// is, and the numerators of both are cleared.
INTBERT_INLINE const std::int8_t* row_at(const std::int8_t* data, std::size_t stride, std::size_t i, std::size_t keys) {
    return data + (i < keys ? i : keys - 1) * stride;
}

// Transposes four cells of 16 keys at a time. Vector j of a group holds key 8i + 4j + r in lane 4i + r, so that the
// pack of the softmax returns the keys in order.
template <class Cells>
INTBERT_INLINE void pack_keys(const AttentionHead& head, typename Cells::Element* to) {
    constexpr std::size_t step = 4 * cell_size<Cells>;  // dimensions
    constexpr std::size_t cell_elements = group_columns * cell_size<Cells>;
    for (std::size_t group = 0; group < head.keys; group += group_columns) {
        for (std::size_t d = 0; d < head.head_dim; d += step) {
            unroll<2>([&] INTBERT_BODY(auto j) {
                Vector z[4];
                unroll<4>([&] INTBERT_BODY(auto r) {
                    const std::size_t key = group + 4 * j + r;
                    const std::int8_t* low = row_at(head.key, head.key_value_stride, key, head.keys) + d;
                    const std::int8_t* high = row_at(head.key, head.key_value_stride, key + 8, head.keys) + d;
                    z[r] = _mm256_set_m128i(Cells::load_keys(high), Cells::load_keys(low));
                });
                const Vector low01 = _mm256_unpacklo_epi32(z[0], z[1]), high01 = _mm256_unpackhi_epi32(z[0], z[1]);
                const Vector low23 = _mm256_unpacklo_epi32(z[2], z[3]), high23 = _mm256_unpackhi_epi32(z[2], z[3]);
                auto* cell = to + d / cell_size<Cells> * cell_elements + j * (cell_elements / 2);
                store(cell, _mm256_unpacklo_epi64(low01, low23));
                store(cell + cell_elements, _mm256_unpackhi_epi64(low01, low23));
                store(cell + 2 * cell_elements, _mm256_unpacklo_epi64(high01, high23));
                store(cell + 3 * cell_elements, _mm256_unpackhi_epi64(high01, high23));
            });
        }
        to += group_columns * head.head_dim;
    }
}

// Interleaves the keys of a cell; lanes follow the unpack instructions, which the final pack undoes.
template <class Cells>
INTBERT_INLINE void pack_values(const AttentionHead& head, const Scratch<Cells>& s) {
    constexpr int size = cell_size<Cells>;
    for (std::size_t dimension = 0; dimension < head.head_dim; dimension += group_columns) {
        auto* to = s.value + s.padded_keys * dimension;
        for (std::size_t key = 0; key < head.keys; key += size) {
            const std::int8_t* rows[size];
            unroll<size>([&] INTBERT_BODY(auto i) {
                rows[i] = row_at(head.value, head.key_value_stride, key + i, head.keys) + dimension;
            });
            Vector cells[2];
            Cells::pack_values(rows, cells);
            store(to, cells[0]);
            store(to + group_columns * size / 2, cells[1]);
            to += group_columns * size;
        }
    }
}

template <int ROWS>
INTBERT_INLINE void clear(Tile<ROWS>& acc) {
    for_each_accumulator<ROWS>([&] INTBERT_BODY(auto r, auto v) { acc[r][v] = zero(); });
}

// Scores of ROWS queries; returns each row's maxima by lane.
template <class Cells, int ROWS>
INTBERT_INLINE void score(const AttentionHead& head, const Scratch<Cells>& s, const std::int8_t* query,
                          Vector (&top)[ROWS]) {
    constexpr std::size_t step = 4 * cell_size<Cells>;
    unroll<ROWS>([&] INTBERT_BODY(auto r) {
        top[r] = all32(-0x7FFFFFFF);
        for (std::size_t d = 0; d < head.head_dim; d += step) {
            store_half(s.query + r * head.head_dim + d, Cells::load_queries(query + r * head.query_stride + d));
        }
    });
    const std::size_t query_bytes = head.head_dim * sizeof(*s.query);
    for (std::size_t group = 0; group < s.padded_keys; group += group_columns) {
        Tile<ROWS> acc;
        clear<ROWS>(acc);
        accumulate<ROWS>(acc, s.query, query_bytes, s.key + group * head.head_dim, head.head_dim / cell_size<Cells>,
                         Cells::add_scores);
        unroll<ROWS>([&] INTBERT_BODY(auto r) {
            std::int32_t* to = s.score + r * s.padded_keys + group;
            store(to, acc[r][0]);
            store(to + 8, acc[r][1]);
            top[r] = _mm256_max_epi32(top[r], _mm256_max_epi32(acc[r][0], acc[r][1]));
        });
    }
}

// (4.1)-(4.3) of 16 keys in 16-bit lanes. `top` holds the row's maximum plus the rounding constant.
INTBERT_INLINE Vector numerators(const AttentionHead& head, const std::int32_t* score, Vector top) {
    const __m128i score_shift = _mm_cvtsi32_si128(head.score_shift);
    const Vector low = _mm256_sra_epi32(_mm256_sub_epi32(top, load(score)), score_shift);
    const Vector high = _mm256_sra_epi32(_mm256_sub_epi32(top, load(score + 8)), score_shift);
    const Vector t = multiply_round_q15(_mm256_packs_epi32(low, high), all16(head.score_multiplier));
    const Vector whole_fraction = _mm256_sll_epi16(t, _mm_cvtsi32_si128(15 - head.exp_fraction_bits));
    const Vector fraction = _mm256_and_si256(whole_fraction, all16(32767));
    const Vector slope = _mm256_sub_epi16(all16(22024), multiply_round_q15(fraction, all16(5640)));  // 0.67212, 0.17212
    const Vector mantissa = _mm256_sub_epi16(all16(32767), multiply_round_q15(fraction, slope));
    // A shift by 15 leaves nothing, more cannot either.
    const Vector whole = _mm256_srl_epi16(t, _mm_cvtsi32_si128(head.exp_fraction_bits));
    return multiply_round_q15(shift_each16(mantissa, _mm256_min_epi16(whole, all16(15))), all16(255));
}

// Scores to numerators; returns their sum, the denominator.
template <class Cells>
INTBERT_INLINE std::int32_t softmax_row(const AttentionHead& head, const std::int32_t* score, Vector top,
                                        typename Cells::Element* out) {
    const int rounding = (1 << head.score_shift) >> 1;
    const Vector maximum = all32(maximum_of_32(top) + rounding);
    Vector sum = zero();
    const auto add = [&] INTBERT_BODY(std::size_t key, Vector present) {
        const Vector e = _mm256_and_si256(numerators(head, score + key, maximum), present);
        Cells::store_numerators(out + key, e);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(e, all16(1)));
    };
    const std::size_t whole = head.keys / group_columns * group_columns;
    for (std::size_t key = 0; key < whole; key += group_columns) add(key, all16(-1));
    if (whole < head.keys) {
        const Vector index = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        add(whole, _mm256_cmpgt_epi16(all16(static_cast<int>(head.keys - whole)), index));
    }
    return sum_of_32(sum);
}

INTBERT_INLINE Vector normalise(Vector low, Vector high, RowScale scale) {
    const __m128i shift = _mm_cvtsi32_si128(scale.shift);
    const Vector sums16 = _mm256_packs_epi32(_mm256_sra_epi32(low, shift), _mm256_sra_epi32(high, shift));
    return shift_round16(multiply_round_q15(sums16, all16(scale.multiplier)), 5);
}

template <class Cells, int ROWS>
INTBERT_INLINE void attend_rows(const AttentionHead& head, const Scratch<Cells>& s, std::size_t row) {
    Vector top[ROWS];
    score<Cells, ROWS>(head, s, head.query + row * head.query_stride, top);
    RowScale scale[ROWS];
    unroll<ROWS>([&] INTBERT_BODY(auto r) {
        const std::size_t at = r * s.padded_keys;
        const std::int32_t denominator = softmax_row<Cells>(head, s.score + at, top[r], s.numerator + at);
        scale[r] = row_scale(denominator, head.context_multiplier);
    });
    const std::size_t numerator_bytes = s.padded_keys * sizeof(*s.numerator);
    const std::size_t cells = (head.keys + cell_size<Cells> - 1) / cell_size<Cells>;
    for (std::size_t dimension = 0; dimension < head.head_dim; dimension += group_columns) {
        Tile<ROWS> acc;
        clear<ROWS>(acc);
        accumulate<ROWS>(acc, s.numerator, numerator_bytes, s.value + s.padded_keys * dimension, cells,
                         Cells::add_context);
        unroll<ROWS>([&] INTBERT_BODY(auto r) {
            std::uint8_t* to = head.context + (row + r) * head.context_stride + dimension;
            store_half(to, pack_offset_u8(normalise(acc[r][0], acc[r][1], scale[r])));
        });
    }
}

template <class Cells>
INTBERT_INLINE void attend_head(const AttentionHead& head, void* scratch) {
    const auto s = partition<Cells>(scratch, head.keys, head.head_dim);
    pack_keys<Cells>(head, s.key);
    pack_values<Cells>(head, s);
    for_each_tile<tile_rows>(head.queries, [&] INTBERT_BODY(auto height, std::size_t row) {
        attend_rows<Cells, decltype(height)::value>(head, s, row);
    });
}

}  // namespace
}  // namespace intbert::avx2
