// A clock around every function of the kernels' table. The product's objects are not changed: the model gets a table
// whose functions read the clock (25 ns), add it up for their thread and call the real ones.
#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <numeric>
#include <type_traits>

#include "commands.h"
#include "session.h"
#include "timing.h"

namespace intbert::bench {
namespace {

enum Operation {
    embedding,
    qkv,
    attention,
    attention_output,
    ffn_input,
    ffn_output,
    layer_norm,
    head,
    operation_count
};

constexpr const char* names[operation_count] = {
    "embedding",           "Q, K, V",    "attention",       "attention output",
    "FFN input with GELU", "FFN output", "LayerNorm, view", "pooler and output",
};

struct Totals {
    std::array<double, operation_count> ns{};
    std::array<double, operation_count> operations{};  // of products of rows and weights
};

constexpr std::size_t threads_max = 64;

const KernelSet* inner = nullptr;  // the table that is measured
std::size_t context_inputs = 0;    // tells the two residual products apart
using AllTotals = std::array<Totals, threads_max>;
AllTotals totals;
std::atomic<std::size_t> threads_seen{0};

Totals& mine() {
    thread_local const std::size_t index = threads_seen.fetch_add(1);
    return totals[index % threads_max];
}

// The first argument of type T, or nullptr.
template <class T>
const T* find() {
    return nullptr;
}
template <class T, class First, class... Rest>
const T* find(const First& first, const Rest&... rest) {
    if constexpr (std::is_base_of_v<T, First>) {
        return &first;
    } else {
        return find<T>(rest...);
    }
}

template <class... Arguments>
double operations_of(const Arguments&... arguments) {
    const Linear* linear = find<Linear>(arguments...);
    const Activations* x = find<Activations>(arguments...);
    const Range* blocks = find<Range>(arguments...);
    if (linear == nullptr || x == nullptr || blocks == nullptr) return 0;
    return 2.0 * static_cast<double>(x->rows * linear->inputs * (blocks->end - blocks->begin) * block_columns);
}

template <auto member, Operation operation>
struct Timed;

template <class... Arguments, void (*KernelSet::*member)(Arguments...), Operation operation>
struct Timed<member, operation> {
    static void call(Arguments... arguments) {
        Operation counted = operation;
        if constexpr (operation == ffn_output) {
            if (find<Linear>(arguments...)->inputs == context_inputs) counted = attention_output;
        }
        Totals& sum = mine();
        sum.operations[counted] += operations_of(arguments...);
        sum.ns[counted] += nanoseconds([&] { (inner->*member)(arguments...); });
    }
};

KernelSet timed(const KernelSet& kernels) {
    KernelSet table = kernels;
    table.linear_to_s32 = Timed<&KernelSet::linear_to_s32, head>::call;
    table.linear_to_s8 = Timed<&KernelSet::linear_to_s8, qkv>::call;
    table.linear_to_gelu = Timed<&KernelSet::linear_to_gelu, ffn_input>::call;
    table.linear_to_sums = Timed<&KernelSet::linear_to_sums, ffn_output>::call;
    table.embed = Timed<&KernelSet::embed, embedding>::call;
    table.layer_norm = Timed<&KernelSet::layer_norm, layer_norm>::call;
    table.attend = Timed<&KernelSet::attend, attention>::call;
    return table;
}

struct Inputs {
    std::vector<std::int32_t> token_ids, type_ids, ends;
};

Inputs random_inputs(check::Random& random, std::size_t sequences, std::size_t tokens) {
    Inputs inputs{{}, std::vector<std::int32_t>(sequences * tokens), {0}};
    for (std::size_t i = 0; i < sequences * tokens; ++i) {
        inputs.token_ids.push_back(static_cast<std::int32_t>(random() % 30522));
    }
    for (std::size_t s = 1; s <= sequences; ++s) inputs.ends.push_back(static_cast<std::int32_t>(s * tokens));
    return inputs;
}

double run_ns(Session& session, const Inputs& inputs, std::vector<std::int32_t>& logits) {
    Batch batch{inputs.token_ids.data(), inputs.type_ids.data(), inputs.ends.data(),
                inputs.token_ids.size(), inputs.ends.size() - 1, 0};
    session.check(batch);
    return nanoseconds([&] { session.run(batch, logits.data()); });
}

struct Round {
    double wall_ns;
    AllTotals totals;
};

// The faster half of the rounds: in the others something else may have had the processor.
void print(std::vector<Round> rounds, std::size_t threads, const KernelSet& kernels) {
    std::sort(rounds.begin(), rounds.end(), [](const Round& a, const Round& b) { return a.wall_ns < b.wall_ns; });
    const double median_ms = rounds[rounds.size() / 2].wall_ns / 1e6;
    rounds.resize((rounds.size() + 1) / 2);
    double total_ns = 0;
    Totals sum;
    for (const Round& round : rounds) {
        total_ns += round.wall_ns * static_cast<double>(threads);
        for (const Totals& one : round.totals) {
            for (std::size_t i = 0; i < operation_count; ++i) {
                sum.ns[i] += one.ns[i];
                sum.operations[i] += one.operations[i];
            }
        }
    }
    const double counted_ns = std::accumulate(sum.ns.begin(), sum.ns.end(), 0.0);
    std::printf("{\"kernels\": \"%s\", \"median_ms\": %.4f, \"operations\": [", kernels.name, median_ms);
    for (std::size_t i = 0; i < operation_count; ++i) {
        std::printf("{\"name\": \"%s\", \"share\": %.5f, \"gops\": %.1f}, ", names[i], sum.ns[i] / total_ns,
                    sum.ns[i] > 0 ? sum.operations[i] / sum.ns[i] : 0.0);
    }
    std::printf("{\"name\": \"between operations\", \"share\": %.5f, \"gops\": 0}]}\n",
                (total_ns - counted_ns) / total_ns);
}

}  // namespace

void profile(const Size& size, const KernelSet& kernels, std::size_t sequences, std::size_t tokens, std::size_t threads,
             int rounds) {
    inner = &kernels;
    const KernelSet table = timed(kernels);
    const auto model = random_model(size, table);
    context_inputs = model->layers[0].attention_output.inputs;
    Session session(model, threads);
    check::Random random(2);
    std::vector<std::int32_t> logits(sequences * model->outputs());
    for (int i = 0; i < 2; ++i) run_ns(session, random_inputs(random, sequences, tokens), logits);
    std::vector<Round> done;
    for (int round = 0; round < rounds; ++round) {
        totals = {};
        const double wall_ns = run_ns(session, random_inputs(random, sequences, tokens), logits);
        done.push_back({wall_ns, totals});
    }
    print(std::move(done), threads, kernels);
}

}  // namespace intbert::bench
