#include "sizes.h"

namespace intbert::bench {

check::Dimensions dimensions(const Size& size) {
    return {
        .channels = size.channels,
        .heads = size.heads,
        .intermediate = size.intermediate,
        .layers = size.layers,
        .vocabulary = 30522,
        .positions = 512,
        .outputs = 2,
        .pooler = true,
    };
}

std::shared_ptr<const Model> random_model(const Size& size, const KernelSet& kernels) {
    check::Random random(1);
    return std::make_shared<Model>(check::random_program(random, dimensions(size)), kernels);
}

}  // namespace intbert::bench
