// The division of a softmax row (4.4), of which there is one.
#pragma once

#include <cstdint>

#include "unroll.h"

namespace intbert {
namespace {

struct RowScale {
    int shift, multiplier;
};

INTBERT_INLINE RowScale row_scale(std::int32_t denominator, std::int32_t multiplier) {
    const int shift = 24 - __builtin_clz(static_cast<unsigned>(denominator));  // bit length - 8
    const std::uint64_t scaled = static_cast<std::uint64_t>(static_cast<std::uint32_t>(multiplier)) << shift;
    return {shift, static_cast<int>(scaled / static_cast<std::uint32_t>(denominator))};
}

}  // namespace
}  // namespace intbert
