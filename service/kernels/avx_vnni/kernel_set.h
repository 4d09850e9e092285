#pragma once

#include "../kernels.h"

namespace intbert::avx_vnni {

extern const KernelSet kernel_set;

}  // namespace intbert::avx_vnni
