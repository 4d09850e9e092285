// The micro-kernel: ROWS x (VECTORS * 16) accumulators stay in registers while the inputs pass in quads.
//
// vpdpbusd adds four u8 x s8 products to an int32 lane, exactly. With 6 x 4 accumulators a core executes two a cycle,
// its peak; benchmarks/prototype has the alternatives. Panels: (inputs / 4, VECTORS, 16 columns, 4 inputs).
#pragma once

#include "../inlined/tiles.h"
#include "simd.h"

namespace intbert::avx512_vnni {
namespace {

constexpr std::size_t tile_rows = 6;

enum class Panel { s8, u8 };  // which operand is signed: the panel (weights, values) or the rows (queries on keys)

template <int ROWS, int VECTORS>
using Tile = Vector[ROWS][VECTORS];

// With AHEAD one cache line a step is fetched into the second-level cache from `ahead` on.
template <Panel PANEL, int ROWS, int VECTORS, bool AHEAD = false>
INTBERT_INLINE void accumulate(Tile<ROWS, VECTORS>& acc, const void* rows, std::size_t stride, const void* panel,
                               std::size_t inputs, const std::int8_t* ahead = nullptr) {
    const auto* row = static_cast<const char*>(rows);
    const auto* column = static_cast<const char*>(panel);
    for (std::size_t k = 0; k < inputs; k += 4) {
        Vector w[VECTORS];
        unroll<VECTORS>([&] INTBERT_BODY(auto v) { w[v] = load(column + v * 64); });
        unroll<ROWS>([&] INTBERT_BODY(auto r) {
            const Vector x = broadcast_quad(row + r * stride);
            unroll<VECTORS>([&] INTBERT_BODY(auto v) {
                acc[r][v] = PANEL == Panel::s8 ? _mm512_dpbusd_epi32(acc[r][v], x, w[v])
                                               : _mm512_dpbusd_epi32(acc[r][v], w[v], x);
            });
        });
        if constexpr (AHEAD) _mm_prefetch(reinterpret_cast<const char*>(ahead + k * 16), _MM_HINT_T1);
        row += 4;
        column += VECTORS * 64;
    }
    // Ends the accumulators' life in the loop: otherwise GCC gives each a second register for what follows, and spills.
    unroll<ROWS>([&] INTBERT_BODY(auto r) {
        unroll<VECTORS>([&] INTBERT_BODY(auto v) { asm("" : "+v"(acc[r][v])); });
    });
}

template <int ROWS, int VECTORS>
INTBERT_INLINE void clear(Tile<ROWS, VECTORS>& acc) {
    unroll<ROWS>([&] INTBERT_BODY(auto r) { unroll<VECTORS>([&] INTBERT_BODY(auto v) { acc[r][v] = zero(); }); });
}

}  // namespace
}  // namespace intbert::avx512_vnni
