#pragma once

#include "../kernels.h"

namespace intbert::portable {

extern const KernelSet kernel_set;

}  // namespace intbert::portable
