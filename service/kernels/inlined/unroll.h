// What the kernel sets' vector files share, in this folder, is compiled into each of them with that set's flags. So
// everything here is always_inline and in an unnamed namespace: no object may define a function that another could
// link. For the same reason no standard library template is used.
#pragma once

#include <cstddef>
#include <utility>  // std::integer_sequence: a type, no code

#define INTBERT_INLINE [[gnu::always_inline]] inline
#define INTBERT_BODY [[gnu::always_inline]]  // of a lambda

// Before a loop: two steps at once. Sanitizers rewrite loops so that GCC warns that it cannot follow.
#ifdef __SANITIZE_ADDRESS__
#define INTBERT_UNROLL_TWICE
#else
#define INTBERT_UNROLL_TWICE _Pragma("GCC unroll 2")
#endif

namespace intbert {
namespace {

template <int N>
struct Count {
    static constexpr int value = N;
    constexpr operator std::size_t() const { return N; }
};

// body(Count<0>{}), ..., body(Count<N - 1>{}). Arrays indexed by the counts live in registers for certain; a loop with
// an unroll pragma is unrolled too late for GCC to see that.
template <int N, class Body>
INTBERT_INLINE void unroll(Body body) {
    [&]<int... I> INTBERT_BODY(std::integer_sequence<int, I...>) {
        (body(Count<I>{}), ...);
    }(std::make_integer_sequence<int, N>{});
}

}  // namespace
}  // namespace intbert
