// The named tensors of an integer program (arithmetic/program.py), as plain views.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace intbert {

enum class Type { s8, s16, s32 };

struct Tensor {
    Type type;
    std::vector<std::size_t> shape;     // empty: a scalar
    const void* data;                   // contiguous, row-major
    std::shared_ptr<const void> owner;  // keeps the memory alive
};

using Tensors = std::map<std::string, Tensor>;

// Finds tensors by name and checks type, shape and range; throws std::invalid_argument that says what, which and why.
class TensorReader {
public:
    explicit TensorReader(Tensors tensors) : tensors_(std::move(tensors)) {}

    // Lets go of a tensor that was copied: with it goes its memory, unless somebody else holds it.
    void drop(const std::string& name) { tensors_.erase(name); }

    bool has(const std::string& name) const { return tensors_.contains(name); }
    bool has_below(const std::string& prefix) const;  // any name that starts so
    const Tensor& find(const std::string& name, Type type, std::size_t dimensions) const;
    int scalar(const std::string& name, int low, int high) const;

    // A vector of exactly `size` values within low..high.
    const std::int16_t* s16(const std::string& name, std::size_t size, int low = -32768, int high = 32767) const;
    const std::int32_t* s32(const std::string& name, std::size_t size, int low = INT32_MIN, int high = INT32_MAX) const;

private:
    Tensors tensors_;
};

}  // namespace intbert
