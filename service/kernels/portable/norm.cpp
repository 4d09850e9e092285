// Embedding sums and LayerNorm in plain C++.
#include "fixed.h"
#include "operations.h"

namespace intbert::portable {

void embed(const Embedding& table, const std::int32_t* token_ids, const std::int32_t* type_ids,
           const std::int32_t* positions, std::size_t rows, std::int32_t* sums) {
    for (std::size_t row = 0; row < rows; ++row) {
        const auto token = static_cast<std::size_t>(token_ids[row]);
        const std::int8_t* word = table.word + token * table.stride;
        const std::int16_t* position = table.position + static_cast<std::size_t>(positions[row]) * table.stride;
        const std::int16_t* type = table.token_type + static_cast<std::size_t>(type_ids[row]) * table.stride;
        const std::int32_t multiplier = table.word_multiplier[token];
        for (std::size_t c = 0; c < table.stride; ++c) {
            sums[row * table.stride + c] =
                word[c] * multiplier + ((position[c] + type[c]) << table.position_shift);  // (6.1)
        }
    }
}

namespace {

struct Standardisation {
    std::int32_t mean, reciprocal;
    int half_shift;
};

Standardisation statistics(const std::int32_t* h, std::size_t channels) {  // (3.1)-(3.3)
    std::int64_t total = 0;
    for (std::size_t c = 0; c < channels; ++c) total += h[c];
    const auto n = static_cast<std::int64_t>(channels);
    const std::int64_t doubled = 2 * total + n;
    const std::int64_t quotient = doubled / (2 * n);
    const auto mean = static_cast<std::int32_t>(doubled % (2 * n) < 0 ? quotient - 1 : quotient);  // floor
    std::int64_t energy = 0;
    for (std::size_t c = 0; c < channels; ++c) energy += std::int64_t{h[c] - mean} * (h[c] - mean);
    const auto scaled = static_cast<std::uint64_t>(std::max<std::int64_t>(energy, 1));
    const int half_shift = (62 - static_cast<int>(std::bit_width(scaled))) >> 1;
    const std::int64_t root = integer_sqrt(scaled << (2 * half_shift));
    const auto reciprocal = std::min((std::int64_t{1} << 61) / root, (std::int64_t{1} << 31) - 1);
    return {mean, static_cast<std::int32_t>(reciprocal), half_shift};
}

}  // namespace

void layer_norm(const LayerNorm& norm, const std::int32_t* sums, std::size_t rows, std::size_t stride,
                std::int16_t* residual, std::uint8_t* view) {
    for (std::size_t row = 0; row < rows; ++row) {
        const std::int32_t* h = sums + row * stride;
        const Standardisation s = statistics(h, norm.channels);
        for (std::size_t c = 0; c < stride; ++c) {
            const std::int32_t centred = c < norm.channels ? (h[c] - s.mean) << s.half_shift : 0;
            const std::int32_t z = multiply_high32(centred, s.reciprocal);  // (3.4)
            const std::int32_t o =
                saturate16((multiply_high32(z, norm.gain[c]) + norm.bias[c]) >> norm.shift);  // (3.5)
            residual[row * stride + c] = static_cast<std::int16_t>(o);
            view[row * stride + c] =
                static_cast<std::uint8_t>(saturate8(multiply_round_q15(o, norm.view[c])) + 128);  // (3.6)
        }
    }
}

}  // namespace intbert::portable
