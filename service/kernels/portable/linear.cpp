// Linear layers in plain C++. Operands are widened to 16 bits, since compilers then find the multiply-add of 16-bit
// pairs that every CPU has (SSE2 pmaddwd, NEON smlal).
#include <algorithm>
#include <array>

#include "fixed.h"
#include "operations.h"

namespace intbert::portable {
namespace {

constexpr std::size_t tile_rows = 16;
constexpr std::size_t tile_inputs = 256;  // 64 columns x 256 inputs in 16 bits: 32 KiB, the first-level cache

using Accumulators = std::array<std::array<std::int32_t, block_columns>, tile_rows>;

std::int32_t dot(const std::int16_t* a, const std::int16_t* b, std::size_t size) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < size; ++i) sum += std::int32_t{a[i]} * std::int32_t{b[i]};
    return sum;
}

template <class Source>
void widen(const Source* from, std::size_t size, std::int16_t* to) {
    for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
}

// (2.1) for up to tile_rows rows and one block of columns.
void accumulate(const Linear& linear, Activations x, std::size_t block, Accumulators& acc) {
    alignas(64) std::array<std::array<std::int16_t, tile_inputs>, block_columns> weight;
    alignas(64) std::array<std::int16_t, tile_inputs> row;
    for (std::size_t r = 0; r < x.rows; ++r)
        std::copy_n(linear.bias + block * block_columns, block_columns, acc[r].data());
    for (std::size_t k = 0; k < linear.inputs; k += tile_inputs) {
        const std::size_t inputs = std::min(tile_inputs, linear.inputs - k);
        for (std::size_t c = 0; c < block_columns; ++c) {
            widen(linear.weight + (block * block_columns + c) * linear.inputs + k, inputs, weight[c].data());
        }
        for (std::size_t r = 0; r < x.rows; ++r) {
            widen(x.data + r * x.stride + k, inputs, row.data());
            for (std::size_t c = 0; c < block_columns; ++c) acc[r][c] += dot(row.data(), weight[c].data(), inputs);
        }
    }
}

// Calls finish(row, column, accumulator) for every value of the blocks.
template <class Finish>
void for_each_value(const Linear& linear, Activations x, Range blocks, Finish finish) {
    Accumulators acc;
    for (std::size_t block = blocks.begin; block < blocks.end; ++block) {
        for (std::size_t row = 0; row < x.rows; row += tile_rows) {
            const std::size_t rows = std::min(tile_rows, x.rows - row);
            accumulate(linear, {x.data + row * x.stride, x.stride, rows}, block, acc);
            for (std::size_t r = 0; r < rows; ++r) {
                for (std::size_t c = 0; c < block_columns; ++c) finish(row + r, block * block_columns + c, acc[r][c]);
            }
        }
    }
}

std::int32_t narrow(const NarrowLinear& linear, std::size_t column, std::int32_t acc) {  // (2.2)
    return multiply_round_q15(saturate16(acc >> linear.shift[column]), linear.multiplier[column]);
}

std::int32_t gelu(std::int32_t x16, int range_shift) {  // (5.1)
    const std::int32_t magnitude = std::abs(x16);
    const std::int32_t clipped = std::min(magnitude, 28210 >> range_shift);  // 0.86090
    const std::int32_t root = 28210 - (clipped << range_shift);
    const std::int32_t square = multiply_round_q15(root, root);
    return std::max(x16, 0) - multiply_round_q15(magnitude, multiply_round_q15(square, square));
}

}  // namespace

void pack_block(const std::int8_t* weight, std::size_t columns, std::size_t inputs, std::int8_t* packed) {
    const std::size_t padded = (inputs + 3) / 4 * 4;
    std::fill_n(packed, block_columns * padded, std::int8_t{0});
    for (std::size_t c = 0; c < columns; ++c) std::copy_n(weight + c * inputs, inputs, packed + c * padded);
}

void linear_to_s32(const Linear& linear, Activations x, Range blocks, std::int32_t* out, std::size_t stride) {
    for_each_value(linear, x, blocks,
                   [=](std::size_t row, std::size_t column, std::int32_t acc) { out[row * stride + column] = acc; });
}

void linear_to_s8(const NarrowLinear& linear, int guard_bits, Activations x, Range blocks, std::int8_t* out,
                  std::size_t stride) {
    for_each_value(linear, x, blocks, [&](std::size_t row, std::size_t column, std::int32_t acc) {
        const std::int32_t q = saturate8(shift_round(narrow(linear, column, acc), guard_bits));  // (2.3)
        out[row * stride + column] = static_cast<std::int8_t>(q);
    });
}

void linear_to_gelu(const NarrowLinear& linear, const Gelu& parameters, Activations x, Range blocks, std::uint8_t* out,
                    std::size_t stride) {
    for_each_value(linear, x, blocks, [&](std::size_t row, std::size_t column, std::int32_t acc) {
        const std::int32_t value = gelu(narrow(linear, column, acc), parameters.range_shift);
        const std::int32_t scaled = multiply_round_q15(value, parameters.multiplier[column]);
        out[row * stride + column] =
            static_cast<std::uint8_t>(std::clamp(scaled + parameters.zero_point, 0, 255));  // (5.2)
    });
}

void linear_to_sums(const ResidualLinear& linear, Activations x, Range blocks, const std::int16_t* residual,
                    std::int32_t* sums, std::size_t stride) {
    for_each_value(linear, x, blocks, [&](std::size_t row, std::size_t column, std::int32_t acc) {
        const std::size_t at = row * stride + column;
        const std::int32_t scaled = multiply_high32(acc << linear.accumulator_shift, linear.multiplier[column]);
        sums[at] = saturate22((std::int32_t{residual[at]} << linear.residual_shift) + scaled);  // (2.4)
    });
}

}  // namespace intbert::portable
