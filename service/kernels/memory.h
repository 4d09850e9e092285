// Aligned buffers. Sixty-four bytes are a cache line and the widest vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

namespace intbert {

constexpr std::size_t alignment = 64;

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

struct AlignedDelete {
    void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{alignment}); }
};

// Zero-initialised memory of a fixed size.
class AlignedBuffer {
public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(std::size_t bytes)
        : memory_(static_cast<std::byte*>(::operator new[](round_up(bytes, alignment), std::align_val_t{alignment}))),
          bytes_(round_up(bytes, alignment)) {
        std::memset(memory_.get(), 0, bytes_);
    }

    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(memory_.get());
    }
    std::size_t bytes() const { return bytes_; }

private:
    std::unique_ptr<std::byte[], AlignedDelete> memory_;
    std::size_t bytes_ = 0;
};

// Hands out aligned parts of one buffer; with no buffer it only counts, so that one function both sizes and divides.
class Carver {
public:
    explicit Carver(std::byte* memory = nullptr) : memory_(memory) {}

    template <class T>
    T* take(std::size_t count) {
        T* part = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
        used_ += round_up(count * sizeof(T), alignment);
        return part;
    }
    std::size_t used() const { return used_; }

private:
    std::byte* memory_;
    std::size_t used_ = 0;
};

}  // namespace intbert
