// The element-wise steps in the 16-bit lanes of the specification, beside the same steps in 32/64-bit lanes.
#include <immintrin.h>

#include <cstdint>
#include <memory>

#include "timing.h"

namespace {

constexpr int elements = 4096;  // 16 KiB of int32: in L1, as an accumulator tile is in registers

struct Buffers {
    alignas(64) std::int32_t acc[elements];
    alignas(64) std::int32_t multiplier32[elements];
    alignas(64) std::int32_t shift[elements];
    alignas(64) std::int16_t multiplier16[elements];
    alignas(64) std::int16_t residual[elements];
    alignas(64) std::int32_t sums[elements];
    alignas(64) std::uint8_t out[elements];
};

std::shared_ptr<Buffers> buffers() {
    auto b = std::make_shared<Buffers>();
    for (int i = 0; i < elements; ++i) {
        b->acc[i] = (i * 7919) % 200000 - 100000;
        b->multiplier32[i] = (1 << 30) + i;
        b->shift[i] = 4 + i % 3;
        b->multiplier16[i] = static_cast<std::int16_t>(16384 + i);
        b->residual[i] = static_cast<std::int16_t>(i * 31 % 30000);
    }
    return b;
}

__m512i load(const void* p) { return _mm512_load_si512(p); }
void store(void* p, __m512i v) { _mm512_store_si512(p, v); }
__m512i s16(int v) { return _mm512_set1_epi16(static_cast<std::int16_t>(v)); }
__m512i s32(int v) { return _mm512_set1_epi32(v); }

__m512i high32(__m512i a, __m512i b) {  // (1.6)
    const __m512i even = _mm512_srli_epi64(_mm512_mul_epi32(a, b), 32);
    const __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    return _mm512_mask_mov_epi32(even, 0xAAAA, odd);
}

__m512i narrow32(const Buffers& b, int i) {  // (2.2) of 32 columns
    const __m512i low = _mm512_srav_epi32(load(b.acc + i), load(b.shift + i));
    const __m512i high = _mm512_srav_epi32(load(b.acc + i + 16), load(b.shift + i + 16));
    return _mm512_mulhrs_epi16(_mm512_packs_epi32(low, high), load(b.multiplier16 + i));
}

void narrow_to_s8(Buffers& b) {  // (2.2) + (2.3)
    for (int i = 0; i < elements; i += 64) {
        const __m512i low = _mm512_mulhrs_epi16(narrow32(b, i), s16(1 << 9));
        const __m512i high = _mm512_mulhrs_epi16(narrow32(b, i + 32), s16(1 << 9));
        store(b.out + i, _mm512_max_epi8(_mm512_packs_epi16(low, high), _mm512_set1_epi8(-127)));
    }
}

__m512i gelu16(__m512i x, __m512i multiplier) {  // (5.1), (5.2)
    const __m512i magnitude = _mm512_abs_epi16(x);
    const __m512i clipped = _mm512_min_epu16(magnitude, s16(28210 >> 1));
    const __m512i root = _mm512_sub_epi16(s16(28210), _mm512_slli_epi16(clipped, 1));
    const __m512i square = _mm512_mulhrs_epi16(root, root);
    const __m512i tail = _mm512_mulhrs_epi16(square, square);
    const __m512i positive = _mm512_max_epi16(x, _mm512_setzero_si512());
    const __m512i value = _mm512_sub_epi16(positive, _mm512_mulhrs_epi16(magnitude, tail));
    return _mm512_adds_epi16(_mm512_mulhrs_epi16(value, multiplier), s16(10));
}

void narrow_gelu(Buffers& b) {
    for (int i = 0; i < elements; i += 64) {
        const __m512i low = gelu16(narrow32(b, i), load(b.multiplier16 + i));
        const __m512i high = gelu16(narrow32(b, i + 32), load(b.multiplier16 + i + 32));
        store(b.out + i, _mm512_packus_epi16(low, high));
    }
}

void residual(Buffers& b) {  // (2.4)
    const __m512i limit = s32((1 << 21) - 1);
    for (int i = 0; i < elements; i += 16) {
        const __m512i scaled = high32(_mm512_slli_epi32(load(b.acc + i), 6), load(b.multiplier32 + i));
        const __m512i old = _mm512_cvtepi16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(b.residual + i)));
        const __m512i h = _mm512_add_epi32(_mm512_slli_epi32(old, 4), scaled);
        store(b.sums + i,
              _mm512_max_epi32(_mm512_min_epi32(h, limit), _mm512_sub_epi32(_mm512_setzero_si512(), limit)));
    }
}

void layer_norm(Buffers& b) {  // (3.1)-(3.6) of rows of 384 channels, without the square root and the division of a row
    constexpr int n = 384;
    for (int row = 0; row + n <= elements; row += n) {
        __m512i total = _mm512_setzero_si512();
        for (int i = 0; i < n; i += 16) total = _mm512_add_epi32(total, load(b.acc + row + i));
        const __m512i mean = s32(_mm512_reduce_add_epi32(total) / n);
        __m512i energy = _mm512_setzero_si512();
        for (int i = 0; i < n; i += 16) {
            const __m512i y = _mm512_sub_epi32(load(b.acc + row + i), mean);
            const __m512i odd = _mm512_srli_epi64(y, 32);
            energy = _mm512_add_epi64(energy, _mm512_add_epi64(_mm512_mul_epi32(y, y), _mm512_mul_epi32(odd, odd)));
        }
        const __m512i reciprocal = s32(static_cast<int>(_mm512_reduce_add_epi64(energy) >> 16) | 1);
        for (int i = 0; i < n; i += 32) {
            __m512i o[2];
            for (int half = 0; half < 2; ++half) {
                const int at = row + i + 16 * half;
                const __m512i y = _mm512_slli_epi32(_mm512_sub_epi32(load(b.acc + at), mean), 5);
                const __m512i z = high32(high32(y, reciprocal), load(b.multiplier32 + at));
                o[half] = _mm512_srai_epi32(_mm512_add_epi32(z, load(b.shift + at)), 3);
            }
            const __m512i o16 = _mm512_packs_epi32(o[0], o[1]);
            store(b.residual + row + i, o16);
            const __m256i view = _mm512_cvtsepi16_epi8(_mm512_mulhrs_epi16(o16, load(b.multiplier16 + row + i)));
            _mm256_store_si256(reinterpret_cast<__m256i*>(b.out + row + i), view);
        }
    }
}

__m512i exp16(__m512i distance16) {  // (4.1)-(4.3)
    constexpr int fraction_bits = 11;
    const __m512i t = _mm512_mulhrs_epi16(distance16, s16(20000));
    const __m512i fraction = _mm512_and_si512(_mm512_slli_epi16(t, 15 - fraction_bits), s16(32767));
    const __m512i slope = _mm512_sub_epi16(s16(22024), _mm512_mulhrs_epi16(fraction, s16(5640)));
    const __m512i mantissa = _mm512_sub_epi16(s16(32767), _mm512_mulhrs_epi16(fraction, slope));
    const __m512i e = _mm512_srlv_epi16(mantissa, _mm512_srli_epi16(t, fraction_bits));
    return _mm512_mulhrs_epi16(e, s16(255));
}

void softmax(Buffers& b) {  // rows of 128 keys: maximum, numerators, sum
    constexpr int keys = 128;
    for (int row = 0; row < elements; row += keys) {
        __m512i top = load(b.acc + row);
        for (int i = 16; i < keys; i += 16) top = _mm512_max_epi32(top, load(b.acc + row + i));
        top = s32(_mm512_reduce_max_epi32(top) + 2);
        __m512i sum = _mm512_setzero_si512();
        for (int i = 0; i < keys; i += 64) {
            __m512i e[2];
            for (int half = 0; half < 2; ++half) {
                const int at = row + i + 32 * half;
                const __m512i low = _mm512_srai_epi32(_mm512_sub_epi32(top, load(b.acc + at)), 2);
                const __m512i high = _mm512_srai_epi32(_mm512_sub_epi32(top, load(b.acc + at + 16)), 2);
                e[half] = exp16(_mm512_packs_epi32(low, high));
            }
            const __m512i p = _mm512_packus_epi16(e[0], e[1]);
            store(b.out + row + i, p);
            sum = _mm512_add_epi64(sum, _mm512_sad_epu8(p, _mm512_setzero_si512()));
        }
        b.sums[row] = static_cast<int>(_mm512_reduce_add_epi64(sum));
    }
}

// --- the 32/64-bit form: rq(x, m, s) = (int64(x) * m + 2^(s-1)) >> s ---

__m512i requantise64(__m512i x, __m512i m, int s) {
    const __m512i half = _mm512_set1_epi64(1LL << (s - 1));
    const auto count = static_cast<unsigned>(s);
    const __m512i even = _mm512_srai_epi64(_mm512_add_epi64(_mm512_mul_epi32(x, m), half), count);
    const __m512i product = _mm512_mul_epi32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(m, 32));
    const __m512i odd = _mm512_srai_epi64(_mm512_add_epi64(product, half), count);
    return _mm512_mask_mov_epi32(even, 0xAAAA, _mm512_slli_epi64(odd, 32));
}

void narrow_to_s8_wide(Buffers& b) {
    for (int i = 0; i < elements; i += 16) {
        const __m512i q = requantise64(load(b.acc + i), load(b.multiplier32 + i), 40);
        const __m128i narrowed = _mm_max_epi8(_mm512_cvtsepi32_epi8(q), _mm_set1_epi8(-127));
        _mm_store_si128(reinterpret_cast<__m128i*>(b.out + i), narrowed);
    }
}

void narrow_gelu_wide(Buffers& b) {
    constexpr int k = 10;
    const __m512i bound = s32(2562);  // 1.769 sqrt 2 2^k
    for (int i = 0; i < elements; i += 16) {
        const __m512i wide = requantise64(load(b.acc + i), load(b.multiplier32 + i), 33);
        const __m512i x = _mm512_max_epi32(_mm512_min_epi32(wide, s32(32767)), s32(-32768));
        const __m512i u = _mm512_sub_epi32(bound, _mm512_min_epi32(_mm512_abs_epi32(x), bound));
        const __m512i v = _mm512_slli_epi32(_mm512_mullo_epi32(u, u), 27 - 2 * k);
        const __m512i scaled = _mm512_srli_epi32(_mm512_mullo_epi32(_mm512_srli_epi32(v, 12), s32(4732)), 16);
        const __m512i erf = _mm512_sub_epi32(s32(16384), scaled);
        const __mmask16 negative = _mm512_movepi32_mask(x);
        const __m512i factor = _mm512_mask_sub_epi32(_mm512_add_epi32(s32(16384), erf), negative, s32(16384), erf);
        const __m512i g = _mm512_mullo_epi32(x, factor);
        const __m512i q = _mm512_add_epi32(requantise64(g, load(b.multiplier32 + i), 45), s32(10));
        const __m128i narrowed = _mm512_cvtusepi32_epi8(_mm512_max_epi32(q, _mm512_setzero_si512()));
        _mm_store_si128(reinterpret_cast<__m128i*>(b.out + i), narrowed);
    }
}

__m512i exp32(__m512i distance) {
    const __m512i t = _mm512_min_epi32(requantise64(distance, s32(1 << 30), 32), s32((1 << 20) - 1));
    const __m512i f = _mm512_and_si512(t, s32(32767));
    const __m512i u = _mm512_sub_epi32(s32(22168), _mm512_srli_epi32(_mm512_mullo_epi32(f, s32(11357)), 15));
    const __m512i square = _mm512_srli_epi32(_mm512_mullo_epi32(u, u), 13);
    const __m512i polynomial = _mm512_srli_epi32(_mm512_mullo_epi32(square, s32(11747)), 15);
    const __m512i mantissa = _mm512_min_epi32(_mm512_add_epi32(polynomial, s32(11272)), s32(32768));
    const __m512i e = _mm512_srlv_epi32(mantissa, _mm512_srli_epi32(t, 15));
    return _mm512_srli_epi32(_mm512_add_epi32(_mm512_mullo_epi32(e, s32(255)), s32(1 << 14)), 15);
}

void softmax_wide(Buffers& b) {
    constexpr int keys = 128;
    for (int row = 0; row < elements; row += keys) {
        __m512i top = load(b.acc + row);
        for (int i = 16; i < keys; i += 16) top = _mm512_max_epi32(top, load(b.acc + row + i));
        top = s32(_mm512_reduce_max_epi32(top));
        __m512i sum = _mm512_setzero_si512();
        for (int i = 0; i < keys; i += 16) {
            const __m512i p = exp32(_mm512_sub_epi32(top, load(b.acc + row + i)));
            sum = _mm512_add_epi32(sum, p);
            _mm_store_si128(reinterpret_cast<__m128i*>(b.out + row + i), _mm512_cvtepi32_epi8(p));
        }
        b.sums[row] = _mm512_reduce_add_epi32(sum);
    }
}

Candidate candidate(const char* name, void (*step)(Buffers&), int count) {
    constexpr int repeats = 32;  // 130,000 elements: well above the clock's resolution
    auto data = buffers();
    auto call = [=] {
        for (int i = 0; i < repeats; ++i) {
            step(*data);
            asm volatile("" ::: "memory");
        }
    };
    return {name, static_cast<double>(count) * repeats, call};
}

}  // namespace

std::vector<Candidate> elementwise_candidates() {
    return {
        candidate("narrow to s8 (2.2)+(2.3), 16-bit lanes", narrow_to_s8, elements),
        candidate("narrow to s8, 64-bit products", narrow_to_s8_wide, elements),
        candidate("narrow + GELU (2.2)+(5.x), 16-bit lanes", narrow_gelu, elements),
        candidate("narrow + GELU, 32/64-bit lanes", narrow_gelu_wide, elements),
        candidate("softmax (4.1)-(4.3), 16-bit lanes", softmax, elements),
        candidate("softmax, 32/64-bit lanes", softmax_wide, elements),
        candidate("residual (2.4)", residual, elements),
        candidate("LayerNorm and view (3.x), 384 channels", layer_norm, elements / 384 * 384),
    };
}
