// Random integer programs for the kernels' own check: valid shapes and ranges, values that use them.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../tensors.h"

namespace intbert::check {

using Random = std::mt19937;

struct Dimensions {
    std::size_t channels, heads, intermediate, layers, vocabulary, positions, outputs;
    bool pooler;
};

Dimensions random_dimensions(Random& random);

// Values span their ranges within the bounds of docs/arithmetic.md, section 9: nothing overflows.
Tensors random_program(Random& random, const Dimensions& dimensions);

}  // namespace intbert::check
