// Which kernel sets exist, in order of priority, and which of them this machine can run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels.h"

namespace intbert {

std::vector<const KernelSet*> known_kernels();      // compiled in, best first
std::vector<const KernelSet*> available_kernels();  // supported by this CPU and operating system, best first

// Throws std::invalid_argument for an unknown or unsupported name; the message lists the supported ones.
const KernelSet& find_kernels(std::string_view name);

}  // namespace intbert
