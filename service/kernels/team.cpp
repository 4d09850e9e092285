#include "team.h"

namespace intbert {
namespace {

constexpr int spins =
    4096;  // some 50 microseconds: longer than a barrier's usual wait, shorter than a scheduler's slice

void relax() {
#if INTBERT_X86_64
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

void wait_while_equal(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
    for (int i = 0; i < spins; ++i) {
        if (value.load(std::memory_order_acquire) != old) return;
        relax();
    }
    value.wait(old, std::memory_order_acquire);
}

void advance(std::atomic<std::uint32_t>& value) {
    value.fetch_add(1, std::memory_order_release);
    value.notify_all();
}

}  // namespace

Team::Team(std::size_t threads) : threads_(threads) {
    workers_.reserve(threads - 1);
    for (std::size_t thread = 1; thread < threads; ++thread) workers_.emplace_back([this, thread] { work(thread); });
}

Team::~Team() {
    stopping_ = true;
    advance(job_);
    for (std::thread& worker : workers_) worker.join();
}

void Team::start(Function function, void* context) {
    function_ = function;
    context_ = context;
    if (threads_ > 1) advance(job_);
    function(context, 0);
    barrier();
}

void Team::meet() {
    const std::uint32_t phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
        arrived_.store(0, std::memory_order_relaxed);
        advance(phase_);
    } else {
        wait_while_equal(phase_, phase);
    }
}

void Team::work(std::size_t thread) {
    for (std::uint32_t seen = 0;; ++seen) {
        wait_while_equal(job_, seen);
        if (stopping_) return;
        function_(context_, thread);
        barrier();
    }
}

}  // namespace intbert
