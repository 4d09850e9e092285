#include "head.h"

#include "portable/fixed.h"

namespace intbert {
namespace {

using namespace portable;

std::int32_t tanh_to_s8(std::int32_t x16) {                                 // (7.1)-(7.3)
    const std::int32_t t = std::min((std::abs(x16) * 23637) >> 13, 32767);  // 2 log2(e) in Q13
    const std::int32_t e = exp2_negative_q15(t, 11);
    const std::int32_t numerator = 32768 - e, denominator = 32768 + e;
    const std::int32_t y = (numerator * 32767 + (denominator >> 1)) / denominator;
    return saturate8(shift_round(x16 < 0 ? -y : y, 8));
}

std::int32_t relu_to_u8(std::int32_t x16, int guard_bits) {  // (7.4)
    return std::clamp(shift_round(x16, guard_bits), 0, 255);
}

std::size_t column_at(const ColumnOrder& order, std::size_t position) {
    return position / block_columns * block_columns + order.column32[position % block_columns];
}

}  // namespace

void pooler_to_u8(const NarrowLinear& pooler, std::optional<int> relu_guard_bits, const ColumnOrder& order,
                  const std::int32_t* acc, std::size_t rows, std::size_t stride, Range blocks, std::uint8_t* out) {
    std::uint8_t position16[block_columns];
    for (std::size_t p = 0; p < block_columns; ++p) position16[order.column16[p]] = static_cast<std::uint8_t>(p);
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t p = blocks.begin * block_columns; p < blocks.end * block_columns; ++p) {
            const std::size_t column = column_at(order, p);
            const std::size_t at16 = column / block_columns * block_columns + position16[column % block_columns];
            const std::int32_t shifted = saturate16(acc[row * stride + p] >> pooler.shift[p]);
            const std::int32_t x16 = multiply_round_q15(shifted, pooler.multiplier[at16]);  // (2.2)
            const std::int32_t pooled = relu_guard_bits ? relu_to_u8(x16, *relu_guard_bits) : tanh_to_s8(x16) + 128;
            out[row * stride + column] = static_cast<std::uint8_t>(pooled);
        }
    }
}

void copy_outputs(const ColumnOrder& order, const std::int32_t* acc, std::size_t rows, std::size_t stride,
                  std::size_t outputs, std::int32_t* out) {
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t p = 0; p < stride; ++p) {
            const std::size_t column = column_at(order, p);
            if (column < outputs) out[row * outputs + column] = acc[row * stride + p];
        }
    }
}

}  // namespace intbert
