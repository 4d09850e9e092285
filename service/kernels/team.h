// The threads of one session. They meet at barriers inside a run: they spin briefly and then sleep, so that a session
// without work uses no CPU. With one thread nothing here costs anything.
//
// Threads that wake each other and wait for each other look to a scheduler like one thread: it may keep them on one
// processor, where they take turns, and never find an imbalance to mend. So a team that finds two of its threads on one
// processor gives its workers processors of their own, away from the caller's. Where there are too few processors for
// that it never tries again, and its threads sleep at once instead of spinning on the processor that another one needs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace intbert {

class Team {
public:
    explicit Team(std::size_t threads);  // 1 or more, the caller's own included
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    std::size_t threads() const { return threads_; }

    // Calls job(thread) on every thread, 0 on the caller's; returns when all have returned. The job must not throw.
    template <class Job>
    void run(Job& job) {
        start([](void* context, std::size_t thread) { (*static_cast<Job*>(context))(thread); }, &job);
    }

    // Inside a job: waits until all threads of the team have come here.
    void barrier() {
        if (threads_ > 1) meet();
    }

private:
    using Function = void (*)(void* context, std::size_t thread);

    void start(Function function, void* context);
    void separate();
    void meet();
    void wait_while_equal(const std::atomic<std::uint32_t>& value, std::uint32_t old) const;
    void work(std::size_t thread);

    const std::size_t threads_;
    Function function_ = nullptr;
    void* context_ = nullptr;
    bool stopping_ = false;
    alignas(64) std::atomic<std::uint32_t> job_{0};    // rises by one a job
    alignas(64) std::atomic<std::uint32_t> phase_{0};  // rises by one a barrier
    alignas(64) std::atomic<std::uint32_t> arrived_{0};
    std::atomic<bool> crowded_{false};         // fewer processors than threads
    std::vector<std::atomic<int>> processor_;  // where each worker was when it last finished; -1: not known
    std::vector<std::thread> workers_;
};

}  // namespace intbert
