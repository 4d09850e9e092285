// Tiles of up to 6 rows x 16 columns, whose 12 accumulators leave four of the sixteen registers for operands. Shared
// with avx_vnni.
#pragma once

#include "../inlined/tiles.h"
#include "../kernels.h"
#include "simd.h"

namespace intbert::avx2 {
namespace {

constexpr std::size_t tile_rows = 6;

template <int ROWS>
using Tile = Vector[ROWS][2];

template <int ROWS, class Body>
INTBERT_INLINE void for_each_accumulator(Body body) {
    unroll<ROWS>([&] INTBERT_BODY(auto r) { unroll<2>([&] INTBERT_BODY(auto v) { body(r, v); }); });
}

// Ends the accumulators' life in a loop: otherwise GCC gives each a second register for what follows, and spills.
template <int ROWS>
INTBERT_INLINE void settle(Tile<ROWS>& acc) {
    for_each_accumulator<ROWS>([&] INTBERT_BODY(auto r, auto v) { asm("" : "+x"(acc[r][v])); });
}

constexpr std::size_t line_bytes = 64;
constexpr std::size_t groups = block_columns / group_columns;

INTBERT_INLINE void fetch_line(const std::int8_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }

// The first tiles of a block's rows fetch the weights that come next, from memory or the last-level cache: each those
// of one group of columns, the last tile all that are left.
INTBERT_INLINE bool fetches(std::size_t group, std::size_t row, std::size_t height, std::size_t rows) {
    const std::size_t tile = row / height;
    return group == tile || (group > tile && row + height == rows);
}

// acc += rows . panel. Both come in cells of 32 bits that hold two or four inputs; a step multiplies a row's cell by
// those of 16 columns. Panel: (cells, 16 columns). multiply_add(acc, row's cell in every lane, 8 columns) -> acc
// With AHEAD one cache line a step is fetched into the second-level cache from `ahead` on.
template <int ROWS, bool AHEAD = false, class MultiplyAdd>
INTBERT_INLINE void accumulate(Tile<ROWS>& acc, const void* rows, std::size_t stride_bytes, const void* panel,
                               std::size_t cells, MultiplyAdd multiply_add, const std::int8_t* ahead = nullptr) {
    const auto* row = static_cast<const char*>(rows);
    const auto* column = static_cast<const char*>(panel);
    for (std::size_t cell = 0; cell < cells; ++cell) {
        const Vector columns[2] = {load(column), load(column + sizeof(Vector))};
        unroll<ROWS>([&] INTBERT_BODY(auto r) {
            const Vector x = broadcast_cell(row + r * stride_bytes);
            unroll<2>([&] INTBERT_BODY(auto v) { acc[r][v] = multiply_add(acc[r][v], x, columns[v]); });
        });
        if constexpr (AHEAD) fetch_line(ahead + cell * line_bytes);
        row += 4;
        column += 2 * sizeof(Vector);
    }
    settle<ROWS>(acc);
}

}  // namespace
}  // namespace intbert::avx2
