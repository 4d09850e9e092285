// The roof: how many u8 x s8 operations a core can do when nothing is loaded and nothing waits.
#pragma once

#include <cstddef>

namespace intbert::bench {

// One burst of independent dot products on registers; the number of operations (a product and a sum are two) it did.
using Burst = double (*)();

// The burst of the best instruction that this core has, nullptr when there is none that we know.
Burst peak_burst();

// GOP/s of `threads` threads together: the median of short measurements.
double peak_gops(Burst burst, std::size_t threads);

}  // namespace intbert::bench
