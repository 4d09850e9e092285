// The table of this instruction set, and the test whether it may run. Compiled without its flags: it runs on every CPU.
#include "kernel_set.h"

#include "../avx2/operations.h"
#include "operations.h"

namespace intbert::avx_vnni {
namespace {

// CPUID, and XGETBV for the operating system's part: the compiler's run-time library reads both.
bool supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avxvnni"); }

}  // namespace

const KernelSet kernel_set{
    .name = "avx_vnni",
    .supported = supported,
    .order = avx2::kernel_order,
    .pack_block = pack_block,
    .linear_to_s32 = linear_to_s32,
    .linear_to_s8 = linear_to_s8,
    .linear_to_gelu = linear_to_gelu,
    .linear_to_sums = linear_to_sums,
    .embed = avx2::embed,
    .layer_norm = avx2::layer_norm,
    .attention_scratch_bytes = attention_scratch_bytes,
    .attend = attend,
};

}  // namespace intbert::avx_vnni
