// Random programs of a model's size: the kernels' speed does not depend on values.
#pragma once

#include <memory>

#include "check/random_program.h"
#include "model.h"

namespace intbert::bench {

struct Size {
    std::size_t channels, heads, intermediate, layers;
};

check::Dimensions dimensions(const Size& size);
std::shared_ptr<const Model> random_model(const Size& size, const KernelSet& kernels);

}  // namespace intbert::bench
