// The operations of the AVX-VNNI kernel set that multiply; the others are those of avx2. kernels.h says what each does.
#pragma once

#include "../kernels.h"

namespace intbert::avx_vnni {

void pack_block(const std::int8_t* weight, std::size_t columns, std::size_t inputs, std::int8_t* packed);
void linear_to_s32(const Linear&, Activations, Range blocks, std::int32_t* out, std::size_t stride);
void linear_to_s8(const NarrowLinear&, int guard_bits, Activations, Range blocks, std::int8_t* out, std::size_t stride);
void linear_to_gelu(const NarrowLinear&, const Gelu&, Activations, Range blocks, std::uint8_t* out, std::size_t stride);
void linear_to_sums(const ResidualLinear&, Activations, Range blocks, const std::int16_t* residual, std::int32_t* sums,
                    std::size_t stride);
std::size_t attention_scratch_bytes(std::size_t keys, std::size_t head_dim);
void attend(const AttentionHead&, void* scratch);

}  // namespace intbert::avx_vnni
