#pragma once

#include "../kernels.h"

namespace intbert::avx512_vnni {

extern const KernelSet kernel_set;

}  // namespace intbert::avx512_vnni
