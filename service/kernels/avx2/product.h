// The product of linear layers without VNNI.
//
// vpmaddubsw, the only multiplication of 8 bits, saturates: 255 * 127 twice is beyond 16 bits. vpmaddwd is exact, on
// operands widened to 16 bits, but a core executes as many of it as of the additions, one each for two inputs of 8
// columns. Winograd's inner product halves the multiplications:
//
//   x0 w0 + x1 w1 = (x0 + w1) (x1 + w0) - x0 x1 - w0 w1
//
// The last two terms belong to a row and to a column alone. A sum x + w lies in -127..382: its 16-bit lane, the pair
// of products of a 32-bit lane (at most 2 * 382^2) and so every step are exact; sums over the inputs are modulo 2^32,
// which leaves the result of (2.1), in 32 bits by (9.1), exact. Two additions of 16 bits, a vpmaddwd and an addition of
// 32 bits take four inputs of 8 columns.
//
// Inputs come in quads. Panel of a block: (4 groups, quads, 2 vectors, {odd, even}, 8 columns, 2 inputs) s8, where odd
// holds w1, w3 and even w0, w2; it is widened once for all rows.
#pragma once

#include "tile.h"

namespace intbert::avx2 {
namespace {

constexpr std::size_t chunk_inputs = 768;  // what is widened at once: 96 KiB of weights, in the second-level cache
constexpr std::size_t slab_rows = 96;      // rows that wait for the next chunk

struct WideWeights {
    std::int16_t panel[block_columns * chunk_inputs];
    std::int32_t pair_products[block_columns];  // the sum of w0 w1, column32 order
};

struct WideRow {
    std::int16_t even[chunk_inputs / 2], odd[chunk_inputs / 2];  // x0, x2 of all quads; x1, x3
};

struct alignas(64) Workspace {
    WideWeights weights;
    WideRow rows[tile_rows];
    std::int32_t pair_products[tile_rows];  // the sum of x0 x1
    std::int32_t sums[slab_rows][block_columns];
};

INTBERT_INLINE void widen(const std::int8_t* packed, std::size_t panel_stride, std::size_t inputs, WideWeights& to) {
    for (std::size_t g = 0; g < groups; ++g) {
        Vector products[2] = {zero(), zero()};
        const std::int8_t* from = packed + g * panel_stride;
        std::int16_t* wide = to.panel + g * group_columns * inputs;
        for (std::size_t quad = 0; quad < inputs / 4; ++quad) {
            unroll<2>([&] INTBERT_BODY(auto v) {
                const Vector odd = _mm256_cvtepi8_epi16(load_half(from + v * 32));
                const Vector even = _mm256_cvtepi8_epi16(load_half(from + v * 32 + 16));
                store(wide + v * 32, odd);
                store(wide + v * 32 + 16, even);
                products[v] = _mm256_add_epi32(products[v], _mm256_madd_epi16(odd, even));
            });
            from += 64;
            wide += 64;
        }
        unroll<2>([&] INTBERT_BODY(auto v) { store(to.pair_products + g * group_columns + v * 8, products[v]); });
    }
}

INTBERT_INLINE std::int32_t widen(const std::uint8_t* row, std::size_t inputs, WideRow& to) {
    Vector products = zero();
    for (std::size_t k = 0; k < inputs; k += 32) {
        const Vector x = load(row + k);
        const Vector even = _mm256_and_si256(x, all16(255)), odd = _mm256_srli_epi16(x, 8);
        store(to.even + k / 2, even);
        store(to.odd + k / 2, odd);
        products = _mm256_add_epi32(products, _mm256_madd_epi16(even, odd));
    }
    return sum_of_32(products);
}

// One cache line a step is fetched into the second-level cache from `ahead` on.
template <int ROWS>
INTBERT_INLINE void accumulate(Tile<ROWS>& acc, const WideRow* rows, const std::int16_t* panel, std::size_t inputs,
                               const std::int8_t* ahead) {
    const std::int16_t* x = rows->even;
    for (std::size_t quad = 0; quad < inputs / 4; ++quad) {
        unroll<ROWS>([&] INTBERT_BODY(auto r) {
            const std::int16_t* cell = x + r * (sizeof(WideRow) / sizeof *x);
            const Vector even = broadcast_cell(cell), odd = broadcast_cell(cell + chunk_inputs / 2);
            unroll<2>([&] INTBERT_BODY(auto v) {
                const Vector a = _mm256_add_epi16(even, load(panel + v * 32));
                const Vector b = _mm256_add_epi16(odd, load(panel + v * 32 + 16));
                acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(a, b));
            });
        });
        fetch_line(ahead + quad * line_bytes);
        x += 2;
        panel += 64;
    }
    settle<ROWS>(acc);
}

// One block of columns, one slab of rows; inputs pass in chunks, between which the sums wait in memory.
struct BlockProduct {
    const Linear& linear;
    const Activations x;
    const std::size_t block;
    Workspace& space;

    template <class Epilogue>
    INTBERT_INLINE void run(Epilogue epilogue) const {
        const std::int8_t* packed = linear.weight + block * block_columns * linear.inputs;
        for (std::size_t k = 0; k < linear.inputs; k += chunk_inputs) {
            const std::size_t left = linear.inputs - k, inputs = left < chunk_inputs ? left : chunk_inputs;
            widen(packed + k * group_columns, group_columns * linear.inputs, inputs, space.weights);
            for_each_tile<tile_rows>(x.rows, [&] INTBERT_BODY(auto height, std::size_t row) {
                tile<decltype(height)::value>(row, k, inputs, epilogue);
            });
        }
    }

    template <int ROWS, class Epilogue>
    INTBERT_INLINE void tile(std::size_t row, std::size_t k, std::size_t inputs, Epilogue epilogue) const {
        for (std::size_t r = 0; r < ROWS; ++r) {
            space.pair_products[r] = widen(x.data + (row + r) * x.stride + k, inputs, space.rows[r]);
        }
        const bool last = k + inputs == linear.inputs;
        const std::size_t next = last ? block_columns * linear.inputs : (k + inputs) * group_columns;
        for (std::size_t g = 0; g < groups; ++g) {
            const std::size_t column = g * group_columns;
            const std::int8_t* packed = linear.weight + (block * block_columns + column) * linear.inputs;
            Tile<ROWS> acc;
            begin<ROWS>(acc, row, column, k == 0);
            accumulate<ROWS>(acc, space.rows, space.weights.panel + column * inputs, inputs,
                             fetches(g, row, ROWS, x.rows) ? packed + next : packed);
            if (last) {
                unroll<ROWS>([&] INTBERT_BODY(auto r) {
                    epilogue(row + r, block * block_columns + column, acc[r][0], acc[r][1]);
                });
            } else {
                for_each_accumulator<ROWS>(
                    [&] INTBERT_BODY(auto r, auto v) { store(space.sums[row + r] + column + v * 8, acc[r][v]); });
            }
        }
    }

    template <int ROWS>
    INTBERT_INLINE void begin(Tile<ROWS>& acc, std::size_t row, std::size_t column, bool first) const {
        const std::int32_t* bias = linear.bias + block * block_columns + column;
        for_each_accumulator<ROWS>([&] INTBERT_BODY(auto r, auto v) {
            const Vector before = load((first ? bias : space.sums[row + r] + column) + v * 8);
            const Vector products =
                _mm256_add_epi32(load(space.weights.pair_products + column + v * 8), all32(space.pair_products[r]));
            acc[r][v] = _mm256_sub_epi32(before, products);
        });
    }
};

struct Product {
    template <class Epilogue>
    INTBERT_INLINE void operator()(const Linear& linear, Activations x, Range blocks, Epilogue epilogue) const {
        Workspace space;
        for (std::size_t block = blocks.begin; block < blocks.end; ++block) {
            for (std::size_t first = 0; first < x.rows; first += slab_rows) {
                const std::size_t left = x.rows - first, rows = left < slab_rows ? left : slab_rows;
                const BlockProduct product{linear, {x.data + first * x.stride, x.stride, rows}, block, space};
                product.run([&] INTBERT_BODY(std::size_t row, std::size_t column, Vector low, Vector high) {
                    epilogue(first + row, column, low, high);
                });
            }
        }
    }
};

}  // namespace
}  // namespace intbert::avx2
