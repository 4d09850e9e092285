// Embedding sums and LayerNorm.
#include "../inlined/standardisation.h"
#include "operations.h"
#include "simd.h"

namespace intbert::INTBERT_NEON {
namespace {

INTBERT_INLINE Standardisation statistics(const std::int32_t* h, std::size_t stride, std::size_t channels) {
    int32x4_t totals = vdupq_n_s32(0);
    for (std::size_t c = 0; c < stride; c += 4) totals = vaddq_s32(totals, vld1q_s32(h + c));
    const std::int32_t mean = rounded_mean(vaddvq_s32(totals), channels);
    const int32x4_t means = vdupq_n_s32(mean);
    int64x2_t low = vdupq_n_s64(0), high = vdupq_n_s64(0);
    for (std::size_t c = 0; c < stride; c += 4) {
        const int32x4_t y = vsubq_s32(vld1q_s32(h + c), means);
        low = vmlal_s32(low, vget_low_s32(y), vget_low_s32(y));
        high = vmlal_high_s32(high, y, y);
    }
    return standardisation(mean, vaddvq_s64(vaddq_s64(low, high)), stride - channels);
}

// (3.4), (3.5) of 4 channels, before saturation.
INTBERT_INLINE int32x4_t normalise(const LayerNorm& norm, std::size_t c, int32x4_t h, const Standardisation& s) {
    const int32x4_t centred = vshlq_s32(vsubq_s32(h, vdupq_n_s32(s.mean)), vdupq_n_s32(s.half_shift));
    const int32x4_t z = multiply_high32(centred, vdupq_n_s32(s.reciprocal));
    return shift_right(multiply_high32_add(z, vld1q_s32(norm.gain + c), vld1q_s32(norm.bias + c)), norm.shift);
}

}  // namespace

void embed(const Embedding& table, const std::int32_t* token_ids, const std::int32_t* type_ids,
           const std::int32_t* positions, std::size_t rows, std::int32_t* sums) {
    const int32x4_t shift = vdupq_n_s32(table.position_shift);
    for (std::size_t row = 0; row < rows; ++row) {
        const auto token = static_cast<std::size_t>(token_ids[row]);
        const std::int8_t* word = table.word + token * table.stride;
        const std::int16_t* position = table.position + static_cast<std::size_t>(positions[row]) * table.stride;
        const std::int16_t* type = table.token_type + static_cast<std::size_t>(type_ids[row]) * table.stride;
        const std::int16_t multiplier = table.word_multiplier[token];
        std::int32_t* out = sums + row * table.stride;
        for (std::size_t c = 0; c < table.stride; c += 8) {
            const int16x8_t words = vmovl_s8(vld1_s8(word + c));
            const int16x8_t p = vld1q_s16(position + c), t = vld1q_s16(type + c);
            const int32x4_t low = vshlq_s32(vaddl_s16(vget_low_s16(p), vget_low_s16(t)), shift);
            const int32x4_t high = vshlq_s32(vaddl_high_s16(p, t), shift);
            vst1q_s32(out + c, vmlal_n_s16(low, vget_low_s16(words), multiplier));  // (6.1)
            vst1q_s32(out + c + 4, vmlal_high_n_s16(high, words, multiplier));
        }
    }
}

void layer_norm(const LayerNorm& norm, const std::int32_t* sums, std::size_t rows, std::size_t stride,
                std::int16_t* residual, std::uint8_t* view) {
    for (std::size_t row = 0; row < rows; ++row) {
        const std::int32_t* h = sums + row * stride;
        const Standardisation s = statistics(h, stride, norm.channels);
        for (std::size_t c = 0; c < stride; c += 16) {
            int32x4_t o[4];
            unroll<4>([&] INTBERT_BODY(auto v) { o[v] = normalise(norm, c + v * 4, vld1q_s32(h + c + v * 4), s); });
            const int16x8_t low = saturate16(o[0], o[1]), high = saturate16(o[2], o[3]);
            vst1q_s16(residual + row * stride + c, low);
            vst1q_s16(residual + row * stride + c + 8, high);
            const int16x8_t view_low = multiply_round_q15(low, vld1q_s16(norm.view + c));  // (3.6)
            const int16x8_t view_high = multiply_round_q15(high, vld1q_s16(norm.view + c + 8));
            vst1q_u8(view + row * stride + c, to_offset(saturate8(view_low, view_high)));
        }
    }
}

}  // namespace intbert::INTBERT_NEON
