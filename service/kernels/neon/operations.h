// The operations of the NEON kernel sets; kernels.h says what each one does. Every file that includes this one is
// compiled twice, with INTBERT_NEON naming the kernel set, which is also the namespace: neon or neon_dotprod.
#pragma once

#include "../kernels.h"

namespace intbert::INTBERT_NEON {

void pack_block(const std::int8_t* weight, std::size_t columns, std::size_t inputs, std::int8_t* packed);
void linear_to_s32(const Linear&, Activations, Range blocks, std::int32_t* out, std::size_t stride);
void linear_to_s8(const NarrowLinear&, int guard_bits, Activations, Range blocks, std::int8_t* out, std::size_t stride);
void linear_to_gelu(const NarrowLinear&, const Gelu&, Activations, Range blocks, std::uint8_t* out, std::size_t stride);
void linear_to_sums(const ResidualLinear&, Activations, Range blocks, const std::int16_t* residual, std::int32_t* sums,
                    std::size_t stride);
void embed(const Embedding&, const std::int32_t* token_ids, const std::int32_t* type_ids, const std::int32_t* positions,
           std::size_t rows, std::int32_t* sums);
void layer_norm(const LayerNorm&, const std::int32_t* sums, std::size_t rows, std::size_t stride,
                std::int16_t* residual, std::uint8_t* view);
std::size_t attention_scratch_bytes(std::size_t keys, std::size_t head_dim);
void attend(const AttentionHead&, void* scratch);

}  // namespace intbert::INTBERT_NEON
