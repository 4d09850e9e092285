// A model as the kernels read it: weights packed once, constants in the kernel set's order. Shared by all sessions.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "tensors.h"

namespace intbert {

struct LayerAttention {
    int qkv_guard_bits, exp_fraction_bits;
    const std::int32_t* score_shift;         // (heads,)
    const std::int16_t* score_multiplier;    // (heads,)
    const std::int32_t* context_multiplier;  // (heads,)
};

struct Layer {
    NarrowLinear qkv;  // Q, K, V, each `width` outputs
    LayerAttention attention;
    ResidualLinear attention_output;
    LayerNorm attention_norm;
    NarrowLinear ffn_input;
    Gelu gelu;
    ResidualLinear ffn_output;
    LayerNorm ffn_norm;
};

class Model {
public:
    // Throws std::invalid_argument for a missing, wrongly typed or shaped tensor, and for values that the kernels' own
    // safety depends on. Overflow bounds are proved by arithmetic/bounds.py, not here.
    Model(Tensors tensors, const KernelSet& kernels);
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    const KernelSet& kernels() const { return kernels_; }
    std::size_t weights_bytes() const { return weights_bytes_; }
    std::size_t outputs() const { return outputs_; }

    // Sizes. A stride is a row's length, padded to whole blocks of columns.
    std::size_t stride() const { return stride_; }              // of residual, view and sums
    std::size_t width() const { return width_; }                // of Q, K, V and the context, heads padded
    std::size_t intermediate() const { return intermediate_; }  // of the FFN
    std::size_t output_stride() const { return output.blocks * block_columns; }
    std::size_t heads() const { return heads_; }
    std::size_t head_dim() const { return head_dim_; }  // padded to 32
    std::size_t vocabulary() const { return vocabulary_; }
    std::size_t types() const { return types_; }
    std::size_t tokens_max() const { return tokens_max_; }
    int position_offset() const { return position_offset_; }

    Embedding embedding{};
    LayerNorm embedding_norm{};
    std::vector<Layer> layers;
    std::optional<NarrowLinear> pooler;
    std::optional<int> relu_guard_bits;  // of a pooler that ends in ReLU, not in tanh
    Linear output{};

private:
    struct Rows {  // where the rows of a weight come from: SIZE_MAX is a padding output
        std::vector<std::size_t> outputs, inputs;
    };

    void read_embedding(const TensorReader& tensors);
    Layer read_layer(TensorReader& tensors, const std::string& name);
    LayerNorm read_norm(TensorReader& tensors, const std::string& name);
    LayerAttention read_attention(TensorReader& tensors, const std::string& name);
    Linear read_linear(TensorReader& tensors, const std::string& name, const Rows& rows);
    NarrowLinear read_narrow(TensorReader& tensors, const std::string& name, const Rows& rows);
    ResidualLinear read_residual(TensorReader& tensors, const std::string& name, const Rows& rows);

    template <class T>
    const T* ordered(const T* values, const std::vector<std::size_t>& sources, const std::uint8_t* order);
    template <class T>
    T* allocate(std::size_t count);
    template <class T>
    const T* padded_table(const T* values, std::size_t rows, std::size_t columns, const std::uint8_t* order);

    const KernelSet& kernels_;
    std::vector<AlignedBuffer> buffers_;
    std::vector<std::shared_ptr<const void>> owners_;
    std::size_t weights_bytes_ = 0;
    std::size_t channels_ = 0, stride_ = 0, width_ = 0, intermediate_ = 0, heads_ = 0, head_dim_ = 0,
                head_dim_true_ = 0;
    std::size_t vocabulary_ = 0, types_ = 0, tokens_max_ = 0, outputs_ = 0;
    int position_offset_ = 0;
};

}  // namespace intbert
