// The parts of the output head that are too small to be worth vector code.
#pragma once

#include <optional>

#include "kernels.h"

namespace intbert {

// (2.2), then (7.4) with relu_guard_bits or, without them, (7.1)-(7.3): the pooler's accumulators, in column32 order,
// to u8 (s8 tanh + 128, or ReLU) in natural order; some column blocks of all rows.
void pooler_to_u8(const NarrowLinear& pooler, std::optional<int> relu_guard_bits, const ColumnOrder& order,
                  const std::int32_t* acc, std::size_t rows, std::size_t stride, Range blocks, std::uint8_t* out);

// Rows of accumulators in column32 order to `outputs` columns in natural order.
void copy_outputs(const ColumnOrder& order, const std::int32_t* acc, std::size_t rows, std::size_t stride,
                  std::size_t outputs, std::int32_t* out);

}  // namespace intbert
