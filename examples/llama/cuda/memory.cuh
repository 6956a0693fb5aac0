#pragma once
#include <cstddef>
#include <cuda_runtime.h>
#include <span>
#include <utility>
#include <vector>

#include "../error.hpp"

namespace llama::gpu {

/// Throws Error, with what was tried and the run-time library's own words.
inline void require(cudaError_t error, const char* what) {
  if (error != cudaSuccess) fail("--backend cuda: ", what, ": ", cudaGetErrorString(error));
}

/// Owner of bytes on the device, or of locked bytes of the host that copies in the background may use.
class Memory {
 public:
  enum class Place { device, host };

  Memory() = default;
  Memory(std::size_t bytes, Place place) : place_(place) {
    if (bytes == 0) return;
    const cudaError_t error = place == Place::device ? cudaMalloc(&data_, bytes) : cudaMallocHost(&data_, bytes);
    if (error == cudaErrorMemoryAllocation)
      fail("--backend cuda: ", place == Place::device ? "the GPU has" : "this machine has", " no room for ",
           bytes >> 20, " MiB more; take a smaller model or context, fewer sequences, or --backend cpu");
    require(error, "asking for memory");
  }
  Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), place_(other.place_) {}
  Memory& operator=(Memory other) noexcept {
    std::swap(data_, other.data_);
    std::swap(place_, other.place_);
    return *this;
  }
  ~Memory() {
    if (data_ == nullptr) return;
    if (place_ == Place::device)
      cudaFree(data_);
    else
      cudaFreeHost(data_);
  }
  [[nodiscard]] void* data() const noexcept { return data_; }

 private:
  void* data_ = nullptr;
  Place place_ = Place::device;
};

/// A vector's elements on the device; null where it has none.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(std::span<const T> values) : memory_(values.size_bytes(), Memory::Place::device) {
    if (!values.empty())
      require(cudaMemcpy(memory_.data(), values.data(), values.size_bytes(), cudaMemcpyHostToDevice),
              "copying to the GPU");
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(std::span<const T>(values)) {}
  [[nodiscard]] T* data() const noexcept { return static_cast<T*>(memory_.data()); }

 private:
  Memory memory_;
};

/// Hands out one allocation front to back; from null it only counts.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<std::byte*>(base)) {}

  template <class T>
  [[nodiscard]] T* take(std::int64_t count) {
    constexpr std::size_t boundary = 256;
    auto* const place = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + boundary - 1) / boundary * boundary;
    return place;
  }
  [[nodiscard]] std::size_t used() const noexcept { return used_; }

 private:
  std::byte* base_;
  std::size_t used_ = 0;
};

}  // namespace llama::gpu
