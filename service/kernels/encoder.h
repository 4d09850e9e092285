// The forward pass of one thread of a team, and the buffers that all threads share.
#pragma once

#include "memory.h"
#include "model.h"
#include "team.h"

namespace intbert {

struct Batch {
    const std::int32_t* token_ids;           // (tokens,)
    const std::int32_t* type_ids;            // (tokens,)
    const std::int32_t* cumulative_lengths;  // (sequences + 1,)
    std::size_t tokens, sequences, longest;

    // The first entry need not be 0: a part of a batch points into the whole one's lengths.
    Range sequence(std::size_t s) const {
        const std::int32_t first = cumulative_lengths[0];
        return {static_cast<std::size_t>(cumulative_lengths[s] - first),
                static_cast<std::size_t>(cumulative_lengths[s + 1] - first)};
    }
};

// Rows in the state between two layers.
struct State {
    std::int16_t* residual;  // (rows, stride)
    std::uint8_t* view;      // (rows, stride)
};

struct Workspace {
    std::int32_t* positions;      // (tokens,)
    State tokens;                 // all rows
    State first;                  // (sequences,) rows of the first tokens, in the last layer of a model with a pooler
    std::int8_t* qkv;             // (tokens, 3 * width)
    std::int8_t* first_query;     // (sequences, width)
    std::uint8_t* context;        // (tokens, width)
    std::int32_t* pooled_sums;    // (sequences, stride)
    std::uint8_t* pooled;         // (sequences, stride)
    std::int32_t* output;         // (rows, output stride)
    std::int32_t* sums;           // (threads, block rows, stride), or (tokens, stride) by columns
    std::uint8_t* wide;           // (threads, block rows, intermediate), or (tokens, intermediate) by columns
    std::byte* attention;         // (threads, attention_bytes)
    std::size_t attention_bytes;  // of one thread
    std::size_t block_rows;       // rows that pass through a layer together
};

// Divides `memory`, or with nullptr only counts the bytes.
std::size_t divide(std::byte* memory, const Model& model, const Batch& batch, std::size_t threads,
                   Workspace& workspace);

// Computes the share of one thread; logits (sequences, outputs) with a pooler, otherwise (tokens, outputs).
void encode(const Model& model, const Batch& batch, const Workspace& workspace, Team& team, std::size_t thread,
            std::int32_t* logits);

}  // namespace intbert
