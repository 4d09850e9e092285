// Fixed-point primitives of docs/arithmetic.md, section 1, one value at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace intbert::portable {

inline std::int32_t saturate8(std::int32_t x) { return std::clamp(x, -127, 127); }                         // (1.1)
inline std::int32_t saturate16(std::int32_t x) { return std::clamp(x, -32768, 32767); }                    // (1.2)
inline std::int32_t saturate22(std::int32_t x) { return std::clamp(x, -((1 << 21) - 1), (1 << 21) - 1); }  // (1.3)

inline std::int32_t shift_round(std::int32_t x, int shift) {  // (1.4)
    return shift == 0 ? x : (x + (1 << (shift - 1))) >> shift;
}

inline std::int32_t multiply_round_q15(std::int32_t a, std::int32_t b) { return (a * b + (1 << 14)) >> 15; }  // (1.5)

inline std::int32_t multiply_high32(std::int32_t a, std::int32_t b) {  // (1.6)
    return static_cast<std::int32_t>((std::int64_t{a} * b) >> 32);
}

inline std::int32_t integer_sqrt(std::uint64_t x) {  // (1.7), 1 <= x < 2^62
    std::uint64_t root = std::uint64_t{1} << ((std::bit_width(x) + 1) >> 1);
    for (std::uint64_t next = (root + x / root) >> 1; next < root; next = (root + x / root) >> 1) root = next;
    return static_cast<std::int32_t>(root);
}

inline std::int32_t exp2_negative_q15(std::int32_t t, int fraction_bits) {  // (4.2)
    const std::int32_t fraction = (t << (15 - fraction_bits)) & 32767;
    const std::int32_t slope = 22024 - multiply_round_q15(fraction, 5640);  // 0.67212, 0.17212
    const std::int32_t mantissa = 32767 - multiply_round_q15(fraction, slope);
    return mantissa >> std::min(t >> fraction_bits, 15);
}

}  // namespace intbert::portable
