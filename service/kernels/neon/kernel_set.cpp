// The table of one NEON kernel set. It holds addresses only: no code of this file runs on a CPU without the set's
// instructions.
#include "kernel_set.h"

#include "cpu.h"
#include "operations.h"

namespace intbert::INTBERT_NEON {
namespace {

constexpr ColumnOrder natural_order() {  // NEON's narrowing instructions keep the order
    ColumnOrder order{};
    for (std::size_t p = 0; p < block_columns; ++p) {
        order.column32[p] = static_cast<std::uint8_t>(p);
        order.column16[p] = static_cast<std::uint8_t>(p);
    }
    return order;
}

}  // namespace

constinit const KernelSet kernel_set{
#if INTBERT_NEON_DOTPROD
    .name = "neon_dotprod",
    .supported = aarch64::has_dotprod,
#else
    .name = "neon",
    .supported = aarch64::has_neon,
#endif
    .order = natural_order(),
    .input_offset = 128,
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

}  // namespace intbert::INTBERT_NEON
