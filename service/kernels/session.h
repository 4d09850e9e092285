// One caller's use of a model: its threads and its buffers.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "encoder.h"

namespace intbert {

class Session {
public:
    // Throws std::invalid_argument unless 1 <= threads <= 256.
    Session(std::shared_ptr<const Model> model, std::size_t threads);

    const Model& model() const { return *model_; }
    std::size_t arena_bytes() const { return arena_.bytes(); }

    // Throws std::invalid_argument with the offending value. `batch.longest` is computed here.
    void check(Batch& batch) const;

    // A checked batch to logits; allocates only when the batch needs more memory than any before it.
    // Throws std::runtime_error when the session is already running.
    void run(const Batch& batch, std::int32_t* logits);

private:
    void check_ids(const std::int32_t* ids, std::size_t count, std::size_t limit, const char* what) const;
    Batch next_part(const Batch& batch, std::size_t first) const;
    void reserve(const Batch& batch);
    void run_part(const Batch& part, std::int32_t* logits);
    void number_positions(const Batch& batch, std::int32_t* positions) const;

    std::shared_ptr<const Model> model_;
    Team team_;
    AlignedBuffer arena_;
    std::atomic_flag busy_;
};

}  // namespace intbert
