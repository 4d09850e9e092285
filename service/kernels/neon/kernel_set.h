#pragma once

#include "../kernels.h"

namespace intbert::neon {

extern const KernelSet kernel_set;  // every AArch64 CPU

}  // namespace intbert::neon

namespace intbert::neon_dotprod {

extern const KernelSet kernel_set;  // ARMv8.2 with sdot

}  // namespace intbert::neon_dotprod
