// The scalar part of LayerNorm: one mean and one reciprocal root a row (3.1)-(3.3).
#pragma once

#include <cstdint>

#include "unroll.h"

namespace intbert {
namespace {

struct Standardisation {  // what a row's channels share
    std::int32_t mean, reciprocal;
    int half_shift;
};

// floor(sqrt(x)) for 2^60 <= x < 2^62 (1.7), by Newton's iteration from above.
INTBERT_INLINE std::uint64_t root62(std::uint64_t x) {
    std::uint64_t root = ((std::uint64_t{1} << 31) + (x >> 31)) >> 1;  // the first step, from 2^31, needs no division
    for (;;) {
        const std::uint64_t next = (root + x / root) >> 1;
        if (next >= root) return root;
        root = next;
    }
}

// (3.1): floor((2 sum + n) / 2n).
INTBERT_INLINE std::int32_t rounded_mean(std::int32_t sum, std::size_t channels) {
    const auto n = static_cast<std::int64_t>(channels);
    const std::int64_t doubled = 2 * std::int64_t{sum} + n;
    const std::int64_t quotient = doubled / (2 * n);
    return static_cast<std::int32_t>(quotient - (doubled < quotient * 2 * n));
}

// (3.2), (3.3). `squares` is the sum of (h - mean)^2 over a whole row, whose padding channels are zero: each of them
// added mean^2.
INTBERT_INLINE Standardisation standardisation(std::int32_t mean, std::int64_t squares, std::size_t padding) {
    const std::int64_t energy = squares - static_cast<std::int64_t>(padding) * mean * mean;
    const auto positive = static_cast<std::uint64_t>(energy > 1 ? energy : 1);
    const int half_shift = (__builtin_clzll(positive) - 2) >> 1;
    const std::uint64_t reciprocal = (std::uint64_t{1} << 61) / root62(positive << (2 * half_shift));
    const std::uint64_t limit = 0x7FFFFFFF;
    return {mean, static_cast<std::int32_t>(reciprocal < limit ? reciprocal : limit), half_shift};
}

}  // namespace
}  // namespace intbert
