#include "kernel_set.h"

#include "operations.h"

namespace intbert::portable {
namespace {

constexpr ColumnOrder natural_order() {
    ColumnOrder order{};
    for (std::size_t p = 0; p < block_columns; ++p) {
        order.column32[p] = static_cast<std::uint8_t>(p);
        order.column16[p] = static_cast<std::uint8_t>(p);
    }
    return order;
}

bool supported() { return true; }

}  // namespace

const KernelSet kernel_set{
    .name = "portable",
    .supported = supported,
    .order = natural_order(),
    .pack_block = pack_block,
    .linear_to_s32 = linear_to_s32,
    .linear_to_s8 = linear_to_s8,
    .linear_to_gelu = linear_to_gelu,
    .linear_to_sums = linear_to_sums,
    .embed = embed,
    .layer_norm = layer_norm,
    .attention_scratch_bytes = attention_scratch_bytes,
    .attend = attend,
};

}  // namespace intbert::portable
