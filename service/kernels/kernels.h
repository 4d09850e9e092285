// The table of operations that every instruction set implements, and the packed constants that they read.
//
// Equation numbers are those of docs/arithmetic.md. Files of one instruction set include this header, so it defines no
// function: inline code compiled with their flags could be linked into code that runs on other CPUs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace intbert {

// Columns come in blocks of 64; every row stride and every number of outputs is padded to it. Constants of padding
// columns are zero: they produce zeros (or a zero point), which the next layer multiplies by zero weights.
constexpr std::size_t block_columns = 64;

// The most inputs of a linear layer: a kernel set may keep a row of them in a buffer of fixed size.
constexpr std::size_t inputs_max = 65536;

// Constants of 32 and 16 bits, sums and residuals lie in the order in which the instruction set's pack instructions
// take them; 8-bit tensors are always in natural order. column32[p] is the column at position p of a block.
struct ColumnOrder {
    std::uint8_t column32[block_columns];
    std::uint8_t column16[block_columns];
};

struct Range {
    std::size_t begin, end;
};

struct Activations {  // (rows, inputs) u8, row-major
    const std::uint8_t* data;
    std::size_t stride;
    std::size_t rows;
};

struct Linear {                 // (2.1)
    const std::int8_t* weight;  // packed by the kernel set's pack_block, one block of columns after another
    const std::int32_t* bias;   // column32 order
    std::size_t inputs;         // padded to a multiple of 32 at least: `Model` pads to whole blocks or heads
    std::size_t blocks;         // number of column blocks
};

struct NarrowLinear : Linear {       // (2.2)
    const std::int32_t* shift;       // column32 order
    const std::int16_t* multiplier;  // column16 order
};

struct ResidualLinear : Linear {     // (2.4)
    const std::int32_t* multiplier;  // column32 order
    int accumulator_shift;
    int residual_shift;
};

struct Gelu {                        // (5.1), (5.2)
    const std::int16_t* multiplier;  // column16 order
    int range_shift;
    int zero_point;
};

struct LayerNorm {             // (3.1)-(3.6)
    const std::int32_t* gain;  // column32 order
    const std::int32_t* bias;  // column32 order
    const std::int16_t* view;  // column16 order
    int shift;
    std::size_t channels;  // true number; rows are padded to whole blocks
};

struct Embedding {                        // (6.1)
    const std::int8_t* word;              // (vocabulary, stride) natural order
    const std::int16_t* word_multiplier;  // (vocabulary,)
    const std::int16_t* position;         // (positions, stride) column16 order
    const std::int16_t* token_type;       // (types, stride) column16 order
    int position_shift;
    std::size_t stride;  // whole blocks
};

struct AttentionHead {         // (4.1)-(4.4), queries of one head of one sequence
    const std::int8_t* query;  // (queries, head_dim) s8
    const std::int8_t* key;    // (keys, head_dim) s8
    const std::int8_t* value;  // (keys, head_dim) s8
    std::uint8_t* context;     // (queries, head_dim) u8: the s8 context + 128
    std::size_t query_stride, key_value_stride, context_stride;
    std::size_t queries, keys;
    std::size_t head_dim;  // padded to a multiple of 32
    int score_shift;
    std::int16_t score_multiplier;
    int exp_fraction_bits;
    std::int32_t context_multiplier;
};

struct KernelSet {
    const char* name;
    bool (*supported)();  // by this CPU and operating system
    ColumnOrder order;

    // 128 where the multiply-add takes s8 by s8: the linear layers then multiply input - 128, and their biases, made
    // at load, include what that leaves out. 0 where it takes u8 by s8.
    std::int32_t input_offset = 0;

    // Packs 64 output channels: weight (columns <= 64, inputs) row-major, absent columns and inputs are zero.
    // packed: 64 * round_up(inputs, 4) bytes.
    void (*pack_block)(const std::int8_t* weight, std::size_t columns, std::size_t inputs, std::int8_t* packed);

    // Each computes the column blocks of `blocks` for all rows; out points to column 0.
    void (*linear_to_s32)(const Linear&, Activations, Range blocks, std::int32_t* out, std::size_t stride);
    void (*linear_to_s8)(const NarrowLinear&, int guard_bits, Activations, Range blocks, std::int8_t* out,
                         std::size_t stride);
    void (*linear_to_gelu)(const NarrowLinear&, const Gelu&, Activations, Range blocks, std::uint8_t* out,
                           std::size_t stride);
    void (*linear_to_sums)(const ResidualLinear&, Activations, Range blocks, const std::int16_t* residual,
                           std::int32_t* sums, std::size_t stride);

    void (*embed)(const Embedding&, const std::int32_t* token_ids, const std::int32_t* type_ids,
                  const std::int32_t* positions, std::size_t rows, std::int32_t* sums);

    // sums, residual and view (= s8 view + 128) have the same stride.
    void (*layer_norm)(const LayerNorm&, const std::int32_t* sums, std::size_t rows, std::size_t stride,
                       std::int16_t* residual, std::uint8_t* view);

    std::size_t (*attention_scratch_bytes)(std::size_t keys, std::size_t head_dim);
    void (*attend)(const AttentionHead&, void* scratch);  // scratch: aligned to 64 bytes
};

}  // namespace intbert
