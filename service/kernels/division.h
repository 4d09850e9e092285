// How the threads of a team divide the work of a stage.
#pragma once

#include <algorithm>

#include "kernels.h"

namespace intbert {

inline Range share(std::size_t count, std::size_t part, std::size_t parts) {
    return {count * part / parts, count * (part + 1) / parts};
}

// Rows between two layers, or those of first tokens, and one thread's part of the stages that they pass through.
//
// By rows: a thread takes its own rows through all stages between two attentions, and nobody waits. By columns: all
// rows, each thread some columns of every stage, so that a weight passes through one core's cache only; but all wait
// for each other after every stage. LayerNorm is by rows in both.
struct Division {
    Range all, own;
    bool by_columns;
    std::size_t thread, threads;

    Division(std::size_t rows, std::size_t rows_by_columns_max, std::size_t part, std::size_t parts)
        : all{0, rows},
          own(share(rows, part, parts)),
          by_columns(parts > 1 && rows <= rows_by_columns_max * parts),
          thread(part),
          threads(parts) {}

    Range rows() const { return by_columns ? all : own; }
    Range columns(std::size_t blocks) const { return by_columns ? share(blocks, thread, threads) : Range{0, blocks}; }
};

// Deals the (sequence, head) pairs of a batch to the threads by rows: contiguous shares of equal cost, so that a thread
// meets mostly its own rows, and no head's keys and values are packed twice.
class HeadShare {
public:
    HeadShare(std::size_t total_cost, std::size_t part, std::size_t parts) : share_(share(total_cost, part, parts)) {}

    // The heads of the next sequence, each of this cost.
    Range next(std::size_t heads, std::size_t cost) {
        const auto dealt = [&](std::size_t limit) {  // heads that begin below the limit
            return limit <= before_ ? 0 : std::min(heads, (limit - before_ + cost - 1) / cost);
        };
        const Range own{dealt(share_.begin), dealt(share_.end)};
        before_ += heads * cost;
        return own;
    }

private:
    Range share_;
    std::size_t before_ = 0;
};

}  // namespace intbert
