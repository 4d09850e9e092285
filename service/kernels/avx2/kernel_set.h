#pragma once

#include "../kernels.h"

namespace intbert::avx2 {

extern const KernelSet kernel_set;

}  // namespace intbert::avx2
