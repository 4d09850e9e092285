// How rows are divided into the tiles of a micro-kernel.
#pragma once

#include "unroll.h"

namespace intbert {
namespace {

// body(Count<height>, row) for 1 <= height <= HEIGHT.
template <std::size_t HEIGHT, class Body>
INTBERT_INLINE void call_with_height(std::size_t height, std::size_t row, Body body) {
    if constexpr (HEIGHT == 1) {
        body(Count<1>{}, row);
    } else if (height == HEIGHT) {
        body(Count<static_cast<int>(HEIGHT)>{}, row);
    } else {
        call_with_height<HEIGHT - 1>(height, row, body);
    }
}

// Calls body(Count<height>, first row) for tiles of at most ROWS rows whose heights differ by one at most, since a lone
// tile of one or two rows would wait for its own additions.
template <std::size_t ROWS, class Body>
INTBERT_INLINE void for_each_tile(std::size_t rows, Body body) {
    std::size_t row = 0;
    for (std::size_t left = (rows + ROWS - 1) / ROWS; left > 0; --left) {
        const std::size_t height = (rows - row + left - 1) / left;
        call_with_height<ROWS>(height, row, body);
        row += height;
    }
}

}  // namespace
}  // namespace intbert
