// Attention of one head: keys and values packed once, then tiles of four queries whose scores stay in the first-level
// cache, from the product with the keys to the normalised context.
#include "../inlined/row_scale.h"
#include "operations.h"
#include "tile.h"

namespace intbert::INTBERT_NEON {
namespace {

// Keys in panels of 16: (panel, head_dim / 4, 16 keys, 4). Values: (head_dim / 16, keys / 4, 16 dimensions, 4 keys).
struct Scratch {
    std::int8_t* key;
    std::int8_t* value;
    std::int32_t* value_start;  // (head_dim,)
    std::int32_t* score;        // (4, padded keys)
    std::uint8_t* numerator;    // (4, padded keys)
    std::size_t padded_keys;    // whole panels
};

INTBERT_INLINE std::size_t padded(std::size_t keys) { return (keys + 15) / 16 * 16; }

INTBERT_INLINE Scratch partition(void* memory, std::size_t keys, std::size_t head_dim) {
    Scratch s{};
    s.padded_keys = padded(keys);
    s.key = static_cast<std::int8_t*>(memory);
    s.value = s.key + s.padded_keys * head_dim;
    s.value_start = reinterpret_cast<std::int32_t*>(s.value + s.padded_keys * head_dim);
    s.score = s.value_start + head_dim;
    s.numerator = reinterpret_cast<std::uint8_t*>(s.score + tile_rows * s.padded_keys);
    return s;
}

// Row i of a matrix with `keys` rows; rows past the end repeat the last one: a repeated key leaves the maximum as it
// is, and the numerators of both are cleared.
INTBERT_INLINE const std::int8_t* row_at(const std::int8_t* data, std::size_t stride, std::size_t i, std::size_t keys) {
    return data + (i < keys ? i : keys - 1) * stride;
}

// Transposes the quads of four keys: of 16 dimensions each to four vectors of one quad each.
INTBERT_INLINE void pack_keys(const AttentionHead& head, std::int8_t* packed) {
    for (std::size_t key = 0; key < padded(head.keys); key += 4) {
        std::int8_t* to = packed + key / tile_columns * tile_columns * head.head_dim + key % tile_columns * 4;
        for (std::size_t d = 0; d < head.head_dim; d += 16) {
            int32x4_t z[4];
            unroll<4>([&] INTBERT_BODY(auto i) {
                const std::int8_t* row = row_at(head.key, head.key_value_stride, key + i, head.keys);
                z[i] = vreinterpretq_s32_s8(vld1q_s8(row + d));
            });
            const int64x2_t even01 = vreinterpretq_s64_s32(vtrn1q_s32(z[0], z[1]));
            const int64x2_t odd01 = vreinterpretq_s64_s32(vtrn2q_s32(z[0], z[1]));
            const int64x2_t even23 = vreinterpretq_s64_s32(vtrn1q_s32(z[2], z[3]));
            const int64x2_t odd23 = vreinterpretq_s64_s32(vtrn2q_s32(z[2], z[3]));
            const int64x2_t quads[4] = {vtrn1q_s64(even01, even23), vtrn1q_s64(odd01, odd23),
                                        vtrn2q_s64(even01, even23), vtrn2q_s64(odd01, odd23)};
            unroll<4>([&] INTBERT_BODY(auto q) {
                vst1q_s8(to + (d / 4 + q) * 64, panel_vector(vreinterpretq_s8_s64(quads[q])));
            });
        }
    }
}

// Interleaves the bytes of four keys, 16 dimensions at a time.
INTBERT_INLINE void pack_values(const AttentionHead& head, std::size_t dimension, std::int8_t* to) {
    for (std::size_t key = 0; key < padded(head.keys); key += 4) {
        int8x16_t row[4];
        unroll<4>([&] INTBERT_BODY(auto i) {
            row[i] = vld1q_s8(row_at(head.value, head.key_value_stride, key + i, head.keys) + dimension);
        });
        const int16x8_t low01 = vreinterpretq_s16_s8(vzip1q_s8(row[0], row[1]));
        const int16x8_t high01 = vreinterpretq_s16_s8(vzip2q_s8(row[0], row[1]));
        const int16x8_t low23 = vreinterpretq_s16_s8(vzip1q_s8(row[2], row[3]));
        const int16x8_t high23 = vreinterpretq_s16_s8(vzip2q_s8(row[2], row[3]));
        const int16x8_t quads[4] = {vzip1q_s16(low01, low23), vzip2q_s16(low01, low23), vzip1q_s16(high01, high23),
                                    vzip2q_s16(high01, high23)};
        unroll<4>([&] INTBERT_BODY(auto v) { vst1q_s8(to + v * 16, panel_vector(vreinterpretq_s8_s16(quads[v]))); });
        to += 64;
    }
}

// Numerators enter the product as e - 128. The sums start at what makes numerators of zero sum to zero.
INTBERT_INLINE void start_sums(const Scratch& s, std::size_t dimension) {
    for (std::size_t key = 0; key < s.padded_keys; key += 16) vst1q_u8(s.numerator + key, vdupq_n_u8(0));
    Tile<1> acc;
    unroll<4>([&] INTBERT_BODY(auto v) { acc[0][v] = vdupq_n_s32(0); });
    accumulate<Inputs::u8, 1>(acc, s.numerator, 0, s.value + s.padded_keys * dimension, s.padded_keys);
    unroll<4>([&] INTBERT_BODY(auto v) { vst1q_s32(s.value_start + dimension + v * 4, vnegq_s32(acc[0][v])); });
}

// Scores of ROWS queries; returns each row's maxima by lane.
template <int ROWS>
INTBERT_INLINE void score(const AttentionHead& head, const Scratch& s, const std::int8_t* query,
                          int32x4_t (&top)[ROWS]) {
    unroll<ROWS>([&] INTBERT_BODY(auto r) { top[r] = vdupq_n_s32(-0x7FFFFFFF); });
    for (std::size_t key = 0; key < s.padded_keys; key += tile_columns) {
        Tile<ROWS> acc;
        unroll<ROWS>([&] INTBERT_BODY(auto r) { unroll<4>([&] INTBERT_BODY(auto v) { acc[r][v] = vdupq_n_s32(0); }); });
        accumulate<Inputs::s8, ROWS>(acc, query, head.query_stride, s.key + key * head.head_dim, head.head_dim);
        unroll<ROWS>([&] INTBERT_BODY(auto r) {
            std::int32_t* to = s.score + r * s.padded_keys + key;
            unroll<4>([&] INTBERT_BODY(auto v) { vst1q_s32(to + v * 4, acc[r][v]); });
            const int32x4_t low = vmaxq_s32(acc[r][0], acc[r][1]), high = vmaxq_s32(acc[r][2], acc[r][3]);
            top[r] = vmaxq_s32(top[r], vmaxq_s32(low, high));
        });
    }
}

// (4.1)-(4.3) of 8 keys in 16-bit lanes. `top` holds the row's maximum plus the rounding constant.
INTBERT_INLINE int16x8_t numerators(const AttentionHead& head, const std::int32_t* score, int32x4_t top) {
    const int32x4_t low = shift_right(vsubq_s32(top, vld1q_s32(score)), head.score_shift);
    const int32x4_t high = shift_right(vsubq_s32(top, vld1q_s32(score + 4)), head.score_shift);
    const int16x8_t t = multiply_round_q15(saturate16(low, high), all16(head.score_multiplier));
    const int16x8_t fraction = vandq_s16(vshlq_s16(t, all16(15 - head.exp_fraction_bits)), all16(32767));
    const int16x8_t slope = vsubq_s16(all16(22024), multiply_round_q15(fraction, all16(5640)));  // 0.67212, 0.17212
    const int16x8_t mantissa = vsubq_s16(all16(32767), multiply_round_q15(fraction, slope));
    // The shift to the left is -(t >> F), at least -127 by bound (9.7), the lowest that sshl reads.
    const int16x8_t whole = vshlq_s16(t, all16(-head.exp_fraction_bits));
    return multiply_round_q15(vshlq_s16(mantissa, vnegq_s16(whole)), all16(255));
}

INTBERT_INLINE uint8x16_t first_bytes(std::size_t count) {  // all bits of the first `count` bytes, if there are so many
    const uint8x16_t index = vcombine_u8(vcreate_u8(0x0706050403020100), vcreate_u8(0x0F0E0D0C0B0A0908));
    return vcltq_u8(index, vdupq_n_u8(static_cast<std::uint8_t>(count < 16 ? count : 16)));
}

// Scores to u8 numerators; returns their sum, the denominator.
INTBERT_INLINE std::int32_t softmax_row(const AttentionHead& head, const std::int32_t* score, int32x4_t top,
                                        std::uint8_t* out) {
    const int rounding = (1 << head.score_shift) >> 1;
    const int32x4_t maximum = vdupq_n_s32(vmaxvq_s32(top) + rounding);
    uint32x4_t sum = vdupq_n_u32(0);
    for (std::size_t key = 0; key < head.keys; key += 16) {
        const int16x8_t low = numerators(head, score + key, maximum);
        const int16x8_t high = numerators(head, score + key + 8, maximum);
        const uint8x16_t packed = vqmovun_high_s16(vqmovun_s16(low), high);
        const uint8x16_t present = vandq_u8(packed, first_bytes(head.keys - key));
        vst1q_u8(out + key, present);
        sum = vpadalq_u16(sum, vpaddlq_u8(present));
    }
    return static_cast<std::int32_t>(vaddvq_u32(sum));
}

INTBERT_INLINE int16x8_t normalise(int32x4_t low, int32x4_t high, RowScale scale) {
    const int16x8_t sums16 = saturate16(shift_right(low, scale.shift), shift_right(high, scale.shift));
    return vrshrq_n_s16(multiply_round_q15(sums16, all16(scale.multiplier)), 5);
}

template <int ROWS>
INTBERT_INLINE void context(const AttentionHead& head, const Scratch& s, const RowScale* scale, std::size_t row,
                            std::size_t dimension) {
    Tile<ROWS> acc;
    unroll<ROWS>([&] INTBERT_BODY(auto r) {
        unroll<4>([&] INTBERT_BODY(auto v) { acc[r][v] = vld1q_s32(s.value_start + dimension + v * 4); });
    });
    accumulate<Inputs::u8, ROWS>(acc, s.numerator, s.padded_keys, s.value + s.padded_keys * dimension, s.padded_keys);
    unroll<ROWS>([&] INTBERT_BODY(auto r) {
        const int16x8_t low = normalise(acc[r][0], acc[r][1], scale[r]);
        const int16x8_t high = normalise(acc[r][2], acc[r][3], scale[r]);
        vst1q_u8(head.context + (row + r) * head.context_stride + dimension, to_offset(saturate8(low, high)));
    });
}

template <int ROWS>
INTBERT_INLINE void attend_rows(const AttentionHead& head, const Scratch& s, std::size_t row) {
    int32x4_t top[ROWS];
    score<ROWS>(head, s, head.query + row * head.query_stride, top);
    RowScale scale[ROWS];
    unroll<ROWS>([&] INTBERT_BODY(auto r) {
        const std::size_t at = r * s.padded_keys;
        const std::int32_t denominator = softmax_row(head, s.score + at, top[r], s.numerator + at);
        scale[r] = row_scale(denominator, head.context_multiplier);
    });
    for (std::size_t d = 0; d < head.head_dim; d += tile_columns) context<ROWS>(head, s, scale, row, d);
}

}  // namespace

std::size_t attention_scratch_bytes(std::size_t keys, std::size_t head_dim) {
    return padded(keys) * (2 * head_dim + tile_rows * (sizeof(std::int32_t) + 1)) + head_dim * sizeof(std::int32_t);
}

void attend(const AttentionHead& head, void* scratch) {
    const Scratch s = partition(scratch, head.keys, head.head_dim);
    pack_keys(head, s.key);
    for (std::size_t d = 0; d < head.head_dim; d += tile_columns) {
        pack_values(head, d, s.value + s.padded_keys * d);
        start_sums(s, d);
    }
    for_each_tile<tile_rows>(head.queries, [&] INTBERT_BODY(auto height, std::size_t row) {
        attend_rows<decltype(height)::value>(head, s, row);
    });
}

}  // namespace intbert::INTBERT_NEON
