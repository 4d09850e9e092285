#include "dispatch.h"

#include <algorithm>
#include <stdexcept>

#include "portable/kernel_set.h"
#if INTBERT_X86_64
#include "avx2/kernel_set.h"
#include "avx512_vnni/kernel_set.h"
#include "avx_vnni/kernel_set.h"
#endif
#if INTBERT_AARCH64
#include "neon/kernel_set.h"
#endif

namespace intbert {

std::vector<const KernelSet*> known_kernels() {
    return {
#if INTBERT_X86_64
        &avx512_vnni::kernel_set,  &avx_vnni::kernel_set, &avx2::kernel_set,
#endif
#if INTBERT_AARCH64
        &neon_dotprod::kernel_set, &neon::kernel_set,
#endif
        &portable::kernel_set,
    };
}

std::vector<const KernelSet*> available_kernels() {
    auto sets = known_kernels();
    std::erase_if(sets, [](const KernelSet* set) { return !set->supported(); });
    return sets;
}

const KernelSet& find_kernels(std::string_view name) {
    std::string names;
    for (const KernelSet* set : available_kernels()) {
        if (name == set->name) return *set;
        names += (names.empty() ? "" : ", ") + std::string(set->name);
    }
    const auto known = known_kernels();
    const bool exists =
        std::any_of(known.begin(), known.end(), [&](const KernelSet* set) { return name == set->name; });
    throw std::invalid_argument("kernel set '" + std::string(name) + "' is " +
                                (exists ? "not supported by this CPU" : "unknown") + "; supported here: " + names);
}

}  // namespace intbert
