// Compares all kernel sets that this machine can run, with one and with two threads, batched and one by one, on random
// programs. Meant to be built with sanitizers; equality with the specification itself is tested from Python.
//
//   kernel_check [programs [seed]]
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "../dispatch.h"
#include "../session.h"
#include "random_program.h"

namespace {

using namespace intbert;

struct Inputs {
    std::vector<std::int32_t> token_ids, type_ids, ends;
};

Inputs random_inputs(check::Random& random, const check::Dimensions& size) {
    const auto below = [&](std::size_t limit) { return static_cast<std::int32_t>(random() % limit); };
    Inputs inputs{{}, {}, {0}};
    const std::size_t sequences = 1 + random() % 6;
    for (std::size_t s = 0; s < sequences; ++s) {
        const std::size_t length =
            1 + random() % (random() % 3 == 0 ? size.positions : std::min<std::size_t>(size.positions, 9));
        for (std::size_t t = 0; t < length; ++t) {
            inputs.token_ids.push_back(below(size.vocabulary));
            inputs.type_ids.push_back(below(2));
        }
        inputs.ends.push_back(static_cast<std::int32_t>(inputs.token_ids.size()));
    }
    return inputs;
}

std::vector<std::int32_t> run(Session& session, const std::int32_t* token_ids, const std::int32_t* type_ids,
                              const std::vector<std::int32_t>& ends) {
    const auto tokens = static_cast<std::size_t>(ends.back());
    Batch batch{token_ids, type_ids, ends.data(), tokens, ends.size() - 1, 0};
    session.check(batch);
    std::vector<std::int32_t> logits((session.model().pooler ? batch.sequences : tokens) * session.model().outputs());
    session.run(batch, logits.data());
    return logits;
}

std::vector<std::int32_t> run_one_by_one(Session& session, const Inputs& inputs) {
    std::vector<std::int32_t> all;
    for (std::size_t s = 0; s + 1 < inputs.ends.size(); ++s) {
        const std::int32_t begin = inputs.ends[s];
        const auto logits = run(session, inputs.token_ids.data() + begin, inputs.type_ids.data() + begin,
                                {0, inputs.ends[s + 1] - begin});
        all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
}

bool same(const std::vector<std::int32_t>& expected, const std::vector<std::int32_t>& actual, const char* kernels,
          const char* how, std::size_t program) {
    if (expected == actual) return true;
    std::printf("program %zu: %s, %s, differs\n", program, kernels, how);
    return false;
}

bool check_program(check::Random& random, std::size_t program) {
    const check::Dimensions size = check::random_dimensions(random);
    const Tensors tensors = check::random_program(random, size);
    const Inputs inputs = random_inputs(random, size);
    std::vector<std::int32_t> expected;
    bool equal = true;
    for (const KernelSet* kernels : available_kernels()) {
        const auto model = std::make_shared<Model>(tensors, *kernels);
        for (std::size_t threads = 1; threads <= 3; ++threads) {
            Session session(model, threads);
            const auto singles = run_one_by_one(session, inputs);
            const auto batched = run(session, inputs.token_ids.data(), inputs.type_ids.data(), inputs.ends);
            if (expected.empty()) expected = batched;
            equal &= same(expected, batched, kernels->name, "batched", program);
            equal &= same(expected, singles, kernels->name, "one by one", program);
        }
    }
    return equal;
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t programs = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 40;
    const unsigned long seed = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1;
    check::Random random(static_cast<check::Random::result_type>(seed));
    bool equal = true;
    for (std::size_t program = 0; program < programs; ++program) equal &= check_program(random, program);
    std::printf("%zu programs, kernel sets:", programs);
    for (const KernelSet* kernels : available_kernels()) std::printf(" %s", kernels->name);
    std::printf(": %s\n", equal ? "all equal" : "DIFFERENT");
    return equal ? 0 : 1;
}
