// The table of this instruction set, and the test whether it may run. Compiled without its flags: it runs on every CPU.
#include "kernel_set.h"

#include "operations.h"

namespace intbert::avx2 {
namespace {

// A pack of 32-bit vectors j = 0, 1 interleaves them by lanes of 128 bits: position 8j + 4i + r of a group of 16 holds
// column 8i + 4j + r. 16-bit constants are in order.
constexpr ColumnOrder pack_order() {
    ColumnOrder order{};
    for (std::size_t p = 0; p < block_columns; ++p) {
        order.column32[p] = static_cast<std::uint8_t>(p / 16 * 16 + p % 8 / 4 * 8 + p % 16 / 8 * 4 + p % 4);
        order.column16[p] = static_cast<std::uint8_t>(p);
    }
    return order;
}

// CPUID, and XGETBV for the operating system's part: the compiler's run-time library reads both.
bool supported() { return __builtin_cpu_supports("avx2"); }

}  // namespace

constexpr ColumnOrder kernel_order = pack_order();

const KernelSet kernel_set{
    .name = "avx2",
    .supported = supported,
    .order = kernel_order,
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

}  // namespace intbert::avx2
