// The micro-kernel: ROWS x 16 accumulators stay in registers while the inputs pass in quads. Both operands are s8, so
// u8 inputs enter as x - 128; the caller's start values make up for it.
//
// Panels: (inputs / 4, 4 vectors, 16 bytes), a vector is the quads of four columns. sdot adds a quad's four products to
// an int32 lane. Without it two products a 16-bit lane are added exactly, since none exceeds 128 * 127, and then
// pairs of lanes; for that the first halves of the four quads come first in a vector.
#pragma once

#include "../inlined/tiles.h"
#include "simd.h"

namespace intbert::INTBERT_NEON {
namespace {

constexpr std::size_t tile_rows = 4;
constexpr std::size_t tile_columns = 16;

enum class Inputs { s8, u8 };  // u8 is read as x - 128

template <int ROWS>
using Tile = int32x4_t[ROWS][4];

// The quads of four columns, one after another, as the panel has them.
INTBERT_INLINE int8x16_t panel_vector(int8x16_t quads) {
#if INTBERT_NEON_DOTPROD
    return quads;
#else
    const int16x8_t halves = vreinterpretq_s16_s8(quads);
    const int16x8_t first = vuzp1q_s16(halves, halves), second = vuzp2q_s16(halves, halves);
    return vreinterpretq_s8_s16(vcombine_s16(vget_low_s16(first), vget_low_s16(second)));
#endif
}

// acc += quad number QUAD of x times the quads of 16 columns.
template <int QUAD>
INTBERT_INLINE void multiply_add(int32x4_t (&acc)[4], const int8x16_t (&w)[4], int8x16_t x) {
#if INTBERT_NEON_DOTPROD
    unroll<4>([&] INTBERT_BODY(auto v) { acc[v] = vdotq_laneq_s32(acc[v], w[v], x, QUAD); });
#else
    const int16x8_t halves = vreinterpretq_s16_s8(x);
    const int8x8_t first = vreinterpret_s8_s16(vdup_laneq_s16(halves, 2 * QUAD));
    const int8x16_t second = vreinterpretq_s8_s16(vdupq_laneq_s16(halves, 2 * QUAD + 1));
    unroll<4>([&] INTBERT_BODY(auto v) {
        acc[v] = vpadalq_s16(acc[v], vmlal_high_s8(vmull_s8(vget_low_s8(w[v]), first), w[v], second));
    });
#endif
}

template <Inputs KIND>
INTBERT_INLINE int8x16_t load_inputs(const std::uint8_t* p) {
    return KIND == Inputs::u8 ? from_offset(vld1q_u8(p)) : vreinterpretq_s8_u8(vld1q_u8(p));
}

template <Inputs KIND>
INTBERT_INLINE int8x16_t load_quad(const std::uint8_t* p) {
    std::uint32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    const uint8x16_t x = vreinterpretq_u8_u32(vdupq_n_u32(quad));
    return KIND == Inputs::u8 ? from_offset(x) : vreinterpretq_s8_u8(x);
}

// Sixteen inputs at a time, the rest in quads.
template <Inputs KIND, int ROWS>
INTBERT_INLINE void accumulate(Tile<ROWS>& acc, const void* rows, std::size_t stride, const std::int8_t* panel,
                               std::size_t inputs) {
    const auto* row = static_cast<const std::uint8_t*>(rows);
    const auto step = [&] INTBERT_BODY(auto quad, const int8x16_t(&x)[ROWS]) {
        int8x16_t w[4];
        unroll<4>([&] INTBERT_BODY(auto v) { w[v] = vld1q_s8(panel + v * 16); });
        unroll<ROWS>([&] INTBERT_BODY(auto r) { multiply_add<decltype(quad)::value>(acc[r], w, x[r]); });
        panel += 64;
    };
    int8x16_t x[ROWS];
    std::size_t k = 0;
    for (; k + 16 <= inputs; k += 16) {
        unroll<ROWS>([&] INTBERT_BODY(auto r) { x[r] = load_inputs<KIND>(row + r * stride + k); });
        unroll<4>([&] INTBERT_BODY(auto quad) { step(quad, x); });
    }
    for (; k < inputs; k += 4) {
        unroll<ROWS>([&] INTBERT_BODY(auto r) { x[r] = load_quad<KIND>(row + r * stride + k); });
        step(Count<0>{}, x);
    }
}

}  // namespace
}  // namespace intbert::INTBERT_NEON
