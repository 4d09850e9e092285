#include "tensors.h"

#include <stdexcept>

namespace intbert {
namespace {

const char* name_of(Type type) {
    switch (type) {
        case Type::s8: return "int8";
        case Type::s16: return "int16";
        case Type::s32: return "int32";
    }
    return "unknown";
}

[[noreturn]] void fail(const std::string& name, const std::string& what) {
    throw std::invalid_argument("tensor " + name + " " + what);
}

template <class T>
const T* checked(const std::string& name, const Tensor& tensor, std::size_t size, int low, int high) {
    if (tensor.shape[0] != size) {
        fail(name, "has " + std::to_string(tensor.shape[0]) + " values, expected " + std::to_string(size));
    }
    const T* values = static_cast<const T*>(tensor.data);
    for (std::size_t i = 0; i < size; ++i) {
        if (values[i] < low || values[i] > high) {
            fail(name, "holds " + std::to_string(values[i]) + ", allowed are " + std::to_string(low) + " to " +
                           std::to_string(high));
        }
    }
    return values;
}

}  // namespace

bool TensorReader::has_below(const std::string& prefix) const {
    const auto next = tensors_.lower_bound(prefix);
    return next != tensors_.end() && next->first.starts_with(prefix);
}

const Tensor& TensorReader::find(const std::string& name, Type type, std::size_t dimensions) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) fail(name, "is missing");
    const Tensor& tensor = found->second;
    if (tensor.type != type) fail(name, std::string("is ") + name_of(tensor.type) + ", expected " + name_of(type));
    if (tensor.shape.size() != dimensions) {
        fail(name,
             "has " + std::to_string(tensor.shape.size()) + " dimensions, expected " + std::to_string(dimensions));
    }
    return tensor;
}

int TensorReader::scalar(const std::string& name, int low, int high) const {
    const int value = *static_cast<const std::int32_t*>(find(name, Type::s32, 0).data);
    if (value < low || value > high) {
        fail(name,
             "is " + std::to_string(value) + ", allowed are " + std::to_string(low) + " to " + std::to_string(high));
    }
    return value;
}

const std::int16_t* TensorReader::s16(const std::string& name, std::size_t size, int low, int high) const {
    return checked<std::int16_t>(name, find(name, Type::s16, 1), size, low, high);
}

const std::int32_t* TensorReader::s32(const std::string& name, std::size_t size, int low, int high) const {
    return checked<std::int32_t>(name, find(name, Type::s32, 1), size, low, high);
}

}  // namespace intbert
