#include "session.h"

#include <algorithm>
#include <stdexcept>

namespace intbert {
namespace {

constexpr std::size_t threads_limit = 256;

// A large batch passes through the model in parts of whole sequences, at most so many tokens a thread unless a sequence
// is longer: their activations stay in the second-level cache, and the arena stays small.
constexpr std::size_t part_tokens_max = 192;

std::size_t checked_threads(std::size_t threads) {
    if (threads >= 1 && threads <= threads_limit) return threads;
    throw std::invalid_argument("threads is " + std::to_string(threads) + ", allowed are 1 to " +
                                std::to_string(threads_limit));
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, std::size_t threads)
    : model_(std::move(model)), team_(checked_threads(threads)) {}

void Session::check_ids(const std::int32_t* ids, std::size_t count, std::size_t limit, const char* what) const {
    for (std::size_t i = 0; i < count; ++i) {
        if (ids[i] >= 0 && static_cast<std::size_t>(ids[i]) < limit) continue;
        throw std::invalid_argument(std::string(what) + "[" + std::to_string(i) + "] is " + std::to_string(ids[i]) +
                                    ", allowed are 0 to " + std::to_string(limit - 1));
    }
}

void Session::check(Batch& batch) const {
    const std::int32_t* ends = batch.cumulative_lengths;
    if (batch.sequences == 0) throw std::invalid_argument("cumulative_lengths holds no sequence");
    if (ends[0] != 0)
        throw std::invalid_argument("cumulative_lengths must start at 0, not at " + std::to_string(ends[0]));
    batch.longest = 0;
    for (std::size_t s = 0; s < batch.sequences; ++s) {
        if (ends[s + 1] <= ends[s]) {
            throw std::invalid_argument("cumulative_lengths must rise: sequence " + std::to_string(s) + " runs from " +
                                        std::to_string(ends[s]) + " to " + std::to_string(ends[s + 1]));
        }
        const auto length = static_cast<std::size_t>(ends[s + 1]) - static_cast<std::size_t>(ends[s]);
        if (length > model_->tokens_max()) {
            throw std::invalid_argument("sequence " + std::to_string(s) + " has " + std::to_string(length) +
                                        " tokens, the position table allows " + std::to_string(model_->tokens_max()));
        }
        batch.longest = std::max(batch.longest, length);
    }
    if (static_cast<std::size_t>(ends[batch.sequences]) != batch.tokens) {
        throw std::invalid_argument("cumulative_lengths ends at " + std::to_string(ends[batch.sequences]) +
                                    ", but there are " + std::to_string(batch.tokens) + " token ids");
    }
    check_ids(batch.token_ids, batch.tokens, model_->vocabulary(), "token_ids");
    check_ids(batch.type_ids, batch.tokens, model_->types(), "type_ids");
}

void Session::number_positions(const Batch& batch, std::int32_t* positions) const {
    for (std::size_t s = 0; s < batch.sequences; ++s) {
        const Range tokens = batch.sequence(s);
        for (std::size_t t = tokens.begin; t < tokens.end; ++t) {
            positions[t] = static_cast<std::int32_t>(t - tokens.begin) + model_->position_offset();
        }
    }
}

void Session::run(const Batch& batch, std::int32_t* logits) {
    if (busy_.test_and_set(std::memory_order_acquire)) {
        throw std::runtime_error("the session is running in another thread; use one session a thread");
    }
    struct Release {
        std::atomic_flag& flag;
        ~Release() { flag.clear(std::memory_order_release); }
    } release{busy_};

    reserve(batch);
    for (std::size_t first = 0; first < batch.sequences;) {
        const Batch part = next_part(batch, first);
        const auto tokens_before = static_cast<std::size_t>(batch.cumulative_lengths[first]);
        run_part(part, logits + (model_->pooler ? first : tokens_before) * model_->outputs());
        first += part.sequences;
    }
}

// The sequences from `first` on that are computed together.
Batch Session::next_part(const Batch& batch, std::size_t first) const {
    const std::int32_t* ends = batch.cumulative_lengths + first;
    const std::size_t limit = part_tokens_max * team_.threads();
    Batch part{batch.token_ids + *ends, batch.type_ids + *ends, ends, 0, 0, 0};
    for (std::size_t s = first; s < batch.sequences; ++s) {
        const auto length = static_cast<std::size_t>(batch.cumulative_lengths[s + 1] - batch.cumulative_lengths[s]);
        if (part.sequences > 0 && part.tokens + length > limit) break;
        part.tokens += length;
        part.longest = std::max(part.longest, length);
        ++part.sequences;
    }
    return part;
}

void Session::reserve(const Batch& batch) {
    std::size_t bytes = 0;
    for (std::size_t first = 0; first < batch.sequences;) {
        const Batch part = next_part(batch, first);
        Workspace workspace{};
        bytes = std::max(bytes, divide(nullptr, *model_, part, team_.threads(), workspace));
        first += part.sequences;
    }
    if (bytes <= arena_.bytes()) return;
    arena_ = AlignedBuffer();  // free before growing
    arena_ = AlignedBuffer(bytes);
}

void Session::run_part(const Batch& part, std::int32_t* logits) {
    Workspace workspace{};
    divide(arena_.as<std::byte>(), *model_, part, team_.threads(), workspace);
    number_positions(part, workspace.positions);
    auto job = [&](std::size_t thread) { encode(*model_, part, workspace, team_, thread, logits); };
    team_.run(job);
}

}  // namespace intbert
