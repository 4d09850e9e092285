// Attention of one head in plain C++: one query row at a time, its scores stay in the first-level cache.
#include "fixed.h"
#include "operations.h"

namespace intbert::portable {
namespace {

// (4.1)-(4.3): scores become numerators; returns their sum.
std::int32_t softmax_numerators(const AttentionHead& head, std::int32_t* row) {
    const std::int32_t rounding = (1 << head.score_shift) >> 1;
    const std::int32_t top = *std::max_element(row, row + head.keys) + rounding;
    std::int32_t denominator = 0;
    for (std::size_t key = 0; key < head.keys; ++key) {
        const std::int32_t distance = std::min((top - row[key]) >> head.score_shift, 32767);
        const std::int32_t t = multiply_round_q15(distance, head.score_multiplier);
        row[key] = multiply_round_q15(exp2_negative_q15(t, head.exp_fraction_bits), 255);
        denominator += row[key];
    }
    return denominator;
}

std::int32_t normalise(std::int32_t sum, std::int32_t denominator, std::int32_t multiplier) {  // (4.4)
    const int shift = static_cast<int>(std::bit_width(static_cast<std::uint32_t>(denominator))) - 8;
    const auto row_multiplier = static_cast<std::int32_t>((std::int64_t{multiplier} << shift) / denominator);
    return saturate8(shift_round(multiply_round_q15(sum >> shift, row_multiplier), 5));
}

}  // namespace

std::size_t attention_scratch_bytes(std::size_t keys, std::size_t head_dim) {
    return (keys + head_dim) * sizeof(std::int32_t);
}

void attend(const AttentionHead& head, void* scratch) {
    auto* row = static_cast<std::int32_t*>(scratch);
    std::int32_t* sums = row + head.keys;
    for (std::size_t query = 0; query < head.queries; ++query) {
        const std::int8_t* q = head.query + query * head.query_stride;
        for (std::size_t key = 0; key < head.keys; ++key) {
            const std::int8_t* k = head.key + key * head.key_value_stride;
            row[key] = 0;
            for (std::size_t d = 0; d < head.head_dim; ++d) row[key] += std::int32_t{q[d]} * k[d];
        }
        const std::int32_t denominator = softmax_numerators(head, row);
        std::fill_n(sums, head.head_dim, 0);
        for (std::size_t key = 0; key < head.keys; ++key) {
            const std::int8_t* v = head.value + key * head.key_value_stride;
            for (std::size_t d = 0; d < head.head_dim; ++d) sums[d] += row[key] * v[d];
        }
        std::uint8_t* context = head.context + query * head.context_stride;
        for (std::size_t d = 0; d < head.head_dim; ++d) {
            context[d] = static_cast<std::uint8_t>(normalise(sums[d], denominator, head.context_multiplier) + 128);
        }
    }
}

}  // namespace intbert::portable
