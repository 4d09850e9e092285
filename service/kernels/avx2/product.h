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
// holds w1, w3 and even w0, w2. The rows of a slab are widened once, for all columns, and stay in the second-level
// cache; a group of columns is widened once a slab, in chunks of inputs, and a chunk stays in the first-level cache
// while all rows pass.
//
// A step of 4 rows takes 8 accumulators, 4 vectors of weights and 4 of sums x + w: all sixteen registers, and 12 loads
// for 32 operations. 6 rows leave no register for an operand, and a core loads two vectors a cycle at most.
#pragma once

#include "../kernels.h"
#include "tile.h"

namespace intbert::avx2 {
namespace {

constexpr int product_rows = 4;
constexpr std::size_t chunk_inputs = 384;     // what is widened at once of a group of columns: 12 KiB
constexpr std::size_t slab_inputs = 1 << 18;  // what is widened at once of the rows: 512 KiB at most
constexpr std::size_t slab_rows_max = 192;
static_assert(slab_inputs >= inputs_max);

struct WidePanel {
    std::int16_t weights[group_columns * chunk_inputs];
    std::int32_t pair_products[group_columns];  // the sum of w0 w1, column32 order
};

struct alignas(64) Workspace {
    WidePanel panel;
    std::int32_t sums[slab_rows_max][group_columns];  // between two chunks
    std::int32_t pair_products[slab_rows_max];        // the sum of x0 x1
    std::int16_t rows[slab_inputs];                   // (rows, quads, {even, odd}, 2 inputs): x0, x2; x1, x3
};

INTBERT_INLINE void widen(const std::int8_t* packed, std::size_t inputs, WidePanel& to) {
    Vector products[2] = {zero(), zero()};
    std::int16_t* wide = to.weights;
    for (std::size_t quad = 0; quad < inputs / 4; ++quad) {
        unroll<2>([&] INTBERT_BODY(auto v) {
            const Vector odd = _mm256_cvtepi8_epi16(load_half(packed + v * 32));
            const Vector even = _mm256_cvtepi8_epi16(load_half(packed + v * 32 + 16));
            store(wide + v * 32, odd);
            store(wide + v * 32 + 16, even);
            products[v] = _mm256_add_epi32(products[v], _mm256_madd_epi16(odd, even));
        });
        packed += 64;
        wide += 64;
    }
    unroll<2>([&] INTBERT_BODY(auto v) { store(to.pair_products + v * 8, products[v]); });
}

INTBERT_INLINE std::int32_t widen(const std::uint8_t* row, std::size_t inputs, std::int16_t* to) {
    Vector products = zero();
    for (std::size_t k = 0; k < inputs; k += 32) {
        const Vector x = load(row + k);
        const Vector even = _mm256_and_si256(x, all16(255)), odd = _mm256_srli_epi16(x, 8);
        const Vector low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
        store(to + k, _mm256_permute2x128_si256(low, high, 0x20));
        store(to + k + 16, _mm256_permute2x128_si256(low, high, 0x31));
        products = _mm256_add_epi32(products, _mm256_madd_epi16(even, odd));
    }
    return sum_of_32(products);
}

template <int ROWS>
INTBERT_INLINE void accumulate(Tile<ROWS>& acc, const std::int16_t* x, std::size_t stride, const std::int16_t* panel,
                               std::size_t inputs) {
    // By the pragma: written out, the same two steps take 4 % longer.
    INTBERT_UNROLL_TWICE
    for (std::size_t quad = 0; quad < inputs / 4; ++quad) {
        const Vector w[4] = {load(panel), load(panel + 16), load(panel + 32), load(panel + 48)};
        unroll<ROWS>([&] INTBERT_BODY(auto r) {
            const Vector even = broadcast_cell(x + r * stride), odd = broadcast_cell(x + r * stride + 2);
            unroll<2>([&] INTBERT_BODY(auto v) {
                const Vector products =
                    _mm256_madd_epi16(_mm256_add_epi16(even, w[2 * v]), _mm256_add_epi16(odd, w[2 * v + 1]));
                acc[r][v] = _mm256_add_epi32(acc[r][v], products);
            });
        });
        x += 4;
        panel += 64;
    }
    settle<ROWS>(acc);
}

// One group of columns, one slab of rows; inputs pass in chunks, between which the sums wait in memory.
struct GroupProduct {
    const Linear& linear;
    const std::size_t rows, column;
    Workspace& space;

    template <class Epilogue>
    INTBERT_INLINE void run(Epilogue epilogue) const {
        const std::int8_t* packed = linear.weight + column * linear.inputs;
        for (std::size_t k = 0; k < linear.inputs; k += chunk_inputs) {
            const std::size_t left = linear.inputs - k, inputs = left < chunk_inputs ? left : chunk_inputs;
            widen(packed + k * group_columns, inputs, space.panel);
            for_each_tile<product_rows>(rows, [&] INTBERT_BODY(auto height, std::size_t row) {
                tile<decltype(height)::value>(row, k, inputs, epilogue);
            });
        }
    }

    template <int ROWS, class Epilogue>
    INTBERT_INLINE void tile(std::size_t row, std::size_t k, std::size_t inputs, Epilogue epilogue) const {
        Tile<ROWS> acc;
        begin<ROWS>(acc, row, k == 0);
        fetch_next<ROWS>(row, k + inputs);
        accumulate<ROWS>(acc, space.rows + row * linear.inputs + k, linear.inputs, space.panel.weights, inputs);
        if (k + inputs == linear.inputs) {
            unroll<ROWS>([&] INTBERT_BODY(auto r) { epilogue(row + r, column, acc[r][0], acc[r][1]); });
        } else {
            for_each_accumulator<ROWS>(
                [&] INTBERT_BODY(auto r, auto v) { store(space.sums[row + r] + v * 8, acc[r][v]); });
        }
    }

    // Every tile fetches its share of the weights that come next; in the loop they would compete with its loads.
    template <int ROWS>
    INTBERT_INLINE void fetch_next(std::size_t row, std::size_t k) const {
        const std::int8_t* next = linear.weight + column * linear.inputs + k * group_columns;
        constexpr std::size_t lines = chunk_inputs * group_columns / line_bytes;
        for (std::size_t line = lines * row / rows; line < lines * (row + ROWS) / rows; ++line) {
            fetch_line(next + line * line_bytes);
        }
    }

    template <int ROWS>
    INTBERT_INLINE void begin(Tile<ROWS>& acc, std::size_t row, bool first) const {
        for_each_accumulator<ROWS>([&] INTBERT_BODY(auto r, auto v) {
            const Vector weights = load(space.panel.pair_products + v * 8);
            const Vector before =
                first ? _mm256_sub_epi32(load(linear.bias + column + v * 8), all32(space.pair_products[row + r]))
                      : load(space.sums[row + r] + v * 8);
            acc[r][v] = _mm256_sub_epi32(before, weights);
        });
    }
};

struct Product {
    template <class Epilogue>
    INTBERT_INLINE void operator()(const Linear& linear, Activations x, Range blocks, Epilogue epilogue) const {
        Workspace space;
        const std::size_t fit = slab_inputs / linear.inputs;
        const std::size_t most = fit < slab_rows_max ? fit : slab_rows_max;
        const std::size_t slabs = (x.rows + most - 1) / most;
        for (std::size_t slab = 0; slab < slabs; ++slab) {
            const std::size_t first = x.rows * slab / slabs, rows = x.rows * (slab + 1) / slabs - first;
            for (std::size_t row = 0; row < rows; ++row) {
                space.pair_products[row] =
                    widen(x.data + (first + row) * x.stride, linear.inputs, space.rows + row * linear.inputs);
            }
            for (std::size_t column = blocks.begin * block_columns; column < blocks.end * block_columns;
                 column += group_columns) {
                GroupProduct{linear, rows, column, space}.run(
                    [&] INTBERT_BODY(std::size_t row, std::size_t at, Vector low, Vector high) {
                        epilogue(first + row, at, low, high);
                    });
            }
        }
    }
};

}  // namespace
}  // namespace intbert::avx2
