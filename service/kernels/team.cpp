#include "team.h"

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace intbert {
namespace {

// Some 50 microseconds: longer than a barrier's usual wait, shorter than a scheduler's slice.
constexpr int spins = 4096;

void relax() {
#if INTBERT_X86_64
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

void advance(std::atomic<std::uint32_t>& value) {
    value.fetch_add(1, std::memory_order_release);
    value.notify_all();
}

#if defined(__linux__)

int current_processor() { return sched_getcpu(); }

// Processors that this thread may use, without `taken`.
std::vector<int> other_processors(int taken) {
    cpu_set_t allowed;
    std::vector<int> others;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return others;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (cpu != taken && CPU_ISSET(static_cast<std::size_t>(cpu), &allowed)) others.push_back(cpu);
    }
    return others;
}

// Every worker gets its own share of the processors; false when there are too few.
bool spread(std::vector<std::thread>& workers, const std::vector<int>& processors) {
    if (processors.size() < workers.size()) return false;
    for (std::size_t worker = 0; worker < workers.size(); ++worker) {
        cpu_set_t own;
        CPU_ZERO(&own);
        for (std::size_t i = worker; i < processors.size(); i += workers.size()) {
            CPU_SET(static_cast<std::size_t>(processors[i]), &own);
        }
        pthread_setaffinity_np(workers[worker].native_handle(), sizeof own, &own);
    }
    return true;
}

#else

int current_processor() { return -1; }
std::vector<int> other_processors(int) { return {}; }
bool spread(std::vector<std::thread>&, const std::vector<int>&) { return true; }

#endif

}  // namespace

Team::Team(std::size_t threads) : threads_(threads), processor_(threads) {
    for (std::atomic<int>& processor : processor_) processor = -1;
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
    if (threads_ > 1) {
        separate();
        advance(job_);
    }
    function(context, 0);
    barrier();
}

void Team::separate() {
    if (crowded_.load(std::memory_order_relaxed)) return;
    const int mine = current_processor();
    if (mine < 0) return;
    processor_[0].store(mine, std::memory_order_relaxed);
    for (std::size_t thread = 1; thread < threads_; ++thread) {
        const int own = processor_[thread].load(std::memory_order_relaxed);
        for (std::size_t other = 0; other < thread; ++other) {
            if (own < 0 || own == processor_[other].load(std::memory_order_relaxed)) {
                return crowded_.store(!spread(workers_, other_processors(mine)), std::memory_order_relaxed);
            }
        }
    }
}

void Team::wait_while_equal(const std::atomic<std::uint32_t>& value, std::uint32_t old) const {
    for (int i = crowded_.load(std::memory_order_relaxed) ? spins : 0; i < spins; ++i) {
        if (value.load(std::memory_order_acquire) != old) return;
        relax();
    }
    value.wait(old, std::memory_order_acquire);
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
        processor_[thread].store(current_processor(), std::memory_order_relaxed);
        barrier();
    }
}

}  // namespace intbert
