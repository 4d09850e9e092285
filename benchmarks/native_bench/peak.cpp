#include "peak.h"

#include <thread>
#include <vector>

#include "timing.h"

namespace intbert::bench {

#if INTBERT_X86_64
double burst_avx512_vnni();
#endif

Burst peak_burst() {
#if INTBERT_X86_64
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni")) return burst_avx512_vnni;
#endif
    return nullptr;
}

namespace {

double one_thread_gops(Burst burst) {
    constexpr int measurements = 41, bursts = 5;  // 0.2 ms each: an interruption spoils one, not the median
    burst();
    std::vector<double> rates;
    for (int i = 0; i < measurements; ++i) {
        double operations = 0;
        const double ns = nanoseconds([&] {
            for (int j = 0; j < bursts; ++j) operations += burst();
        });
        rates.push_back(operations / ns);
    }
    return median(rates);
}

}  // namespace

double peak_gops(Burst burst, std::size_t threads) {
    std::vector<double> rates(threads);
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < threads; ++i) {
        others.emplace_back([&rates, burst, i] { rates[i] = one_thread_gops(burst); });
    }
    rates[0] = one_thread_gops(burst);
    for (std::thread& other : others) other.join();
    double sum = 0;
    for (const double rate : rates) sum += rate;
    return sum;
}

}  // namespace intbert::bench
