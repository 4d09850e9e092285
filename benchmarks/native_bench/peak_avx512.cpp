// Compiled with AVX-512 VNNI; called only where the CPU has it.
#include <immintrin.h>

namespace intbert::bench {

double burst_avx512_vnni() {
    constexpr int steps = 20000, chains = 16, operations = 128;
    __m512i acc[chains];
    const __m512i a = _mm512_set1_epi32(0x01020304);
    __m512i b = _mm512_set1_epi32(0x01010101);
    asm volatile("" : "+v"(b));
#pragma GCC unroll 16
    for (int i = 0; i < chains; ++i) acc[i] = a;
    for (int step = 0; step < steps; ++step) {
#pragma GCC unroll 16
        for (int i = 0; i < chains; ++i) asm volatile("vpdpbusd %2, %1, %0" : "+v"(acc[i]) : "v"(a), "v"(b));
    }
#pragma GCC unroll 16
    for (int i = 0; i < chains; ++i) asm volatile("" ::"v"(acc[i]));
    return static_cast<double>(steps) * chains * operations;
}

}  // namespace intbert::bench
