// The table of this instruction set, and the test whether it may run. Compiled without its flags: it runs on every CPU.
#include "kernel_set.h"

#include "operations.h"

namespace intbert::avx512_vnni {
namespace {

// Two packs of 32-bit vectors j = 0..3 interleave them by lanes of 128 bits: position 16j + 4i + r holds column
// 16i + 4j + r. After the first pack position 32h + 8i + r holds column 16i + 8h + r, after the second one all is in
// order.
constexpr ColumnOrder pack_order() {
    ColumnOrder order{};
    for (std::size_t p = 0; p < block_columns; ++p) {
        order.column32[p] = static_cast<std::uint8_t>(p % 16 / 4 * 16 + p / 16 * 4 + p % 4);
        order.column16[p] = static_cast<std::uint8_t>(p % 32 / 8 * 16 + p / 32 * 8 + p % 8);
    }
    return order;
}

// CPUID, and XGETBV for the operating system's part: the compiler's run-time library reads both.
bool supported() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}

}  // namespace

constexpr ColumnOrder kernel_order = pack_order();

const KernelSet kernel_set{
    .name = "avx512_vnni",
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

}  // namespace intbert::avx512_vnni
