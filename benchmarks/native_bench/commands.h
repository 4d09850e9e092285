// What native_bench can do. Each prints one line of JSON.
#pragma once

#include "sizes.h"

namespace intbert::bench {

// The fused products of one layer at `rows` rows, in turns with the peak.
void measure_products(const Size& size, const KernelSet& kernels, std::size_t rows, int rounds);

// Where the time of a forward pass goes: `sequences` of `tokens` tokens on `threads` threads.
void profile(const Size& size, const KernelSet& kernels, std::size_t sequences, std::size_t tokens, std::size_t threads,
             int rounds);

}  // namespace intbert::bench
