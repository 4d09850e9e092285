// Micro-kernels of the packed u8 x s8 product. Weights: panels of VECTORS x 16 columns, K in quads; activations
// row-major.
#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "timing.h"

namespace {

using Bytes = std::shared_ptr<std::uint8_t[]>;

Bytes bytes(std::size_t size) {
    Bytes data(static_cast<std::uint8_t*>(std::aligned_alloc(64, (size + 63) / 64 * 64)),
               [](std::uint8_t* p) { std::free(p); });
    for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::uint8_t>(i * 37 % 251);
    return data;
}

__m512i broadcast_quad(const std::uint8_t* p) {
    std::int32_t quad;
    std::memcpy(&quad, p, 4);
    return _mm512_set1_epi32(quad);
}

template <int ROWS, int VECTORS>
void tile(const std::uint8_t* x, std::size_t k, const std::uint8_t* panel, std::int32_t* out, std::size_t out_stride) {
    __m512i acc[ROWS][VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) acc[r][v] = _mm512_setzero_si512();
    }
    for (std::size_t quad = 0; quad < k; quad += 4) {
        __m512i w[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) w[v] = _mm512_load_si512(panel + quad * 16 * VECTORS + v * 64);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; ++r) {
            const __m512i a = broadcast_quad(x + static_cast<std::size_t>(r) * k + quad);
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; ++v) acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], a, w[v]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v)
            _mm512_store_si512(out + static_cast<std::size_t>(r) * out_stride + v * 16, acc[r][v]);
    }
}

// Panels outside, rows inside: a panel stays in L1 (K <= 512) or L2 while all rows pass. The output tile is reused, so
// that the figure is the product's alone.
template <int ROWS, int VECTORS>
Candidate product(std::size_t k, std::size_t n) {
    constexpr std::size_t rows = 128;
    auto x = bytes((rows + 16) * k);
    auto w = bytes(k * n);
    auto out = bytes(16 * 128 * 4);
    auto call = [=] {
        auto* result = reinterpret_cast<std::int32_t*>(out.get());
        for (std::size_t column = 0; column + VECTORS * 16 <= n; column += VECTORS * 16) {
            for (std::size_t row = 0; row + ROWS <= rows; row += ROWS) {
                tile<ROWS, VECTORS>(x.get() + row * k, k, w.get() + column * k, result, VECTORS * 16);
            }
        }
    };
    const std::size_t columns = n / (VECTORS * 16) * VECTORS * 16;
    const double work = 2.0 * static_cast<double>(rows / ROWS * ROWS * k * columns);
    return {std::to_string(ROWS) + " x " + std::to_string(VECTORS * 16) + ", K=" + std::to_string(k), work, call};
}

// The roof: independent vpdpbusd on registers, nothing else.
Candidate peak() {
    auto call = [] {
        __m512i acc[16];
        const __m512i a = _mm512_set1_epi32(0x01020304);
        __m512i b = _mm512_set1_epi32(0x01010101);
        asm volatile("" : "+v"(b));
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) acc[i] = a;
        for (int step = 0; step < 20000; ++step) {
#pragma GCC unroll 16
            for (int i = 0; i < 16; ++i) asm volatile("vpdpbusd %2, %1, %0" : "+v"(acc[i]) : "v"(a), "v"(b));
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) asm volatile("" ::"v"(acc[i]));
    };
    return {"vpdpbusd on registers (peak)", 20000.0 * 16 * 128, call};
}

}  // namespace

std::vector<Candidate> matrix_candidates() {
    std::vector<Candidate> list{peak()};
    for (std::size_t k : {384U, 768U, 1536U, 3072U}) {
        list.push_back(product<6, 4>(k, 384));
        list.push_back(product<5, 4>(k, 384));
        list.push_back(product<4, 4>(k, 384));
        list.push_back(product<2, 4>(k, 384));
        list.push_back(product<12, 2>(k, 384));
        list.push_back(product<8, 3>(k, 384));
    }
    return list;
}
