#pragma once
#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/huge_pages.hpp>
#include <planish/core/index.hpp>
#include <planish/core/result.hpp>

namespace planish::inline PLANISH_ABI {

/// Every buffer that kernels read or write in bulk starts on a cache line.
inline constexpr std::size_t buffer_alignment = 64;  // bytes

/// Owning array of trivial elements, aligned to 64 bytes, zero-filled; from 2 MiB on it lies on huge pages where the
/// system gives them. Moves, never copies by accident.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>, "planish: AlignedBuffer holds plain numbers");

 public:
  AlignedBuffer() = default;

  /// `count` zeroes, or out_of_memory.
  static Result<AlignedBuffer> make(index count) noexcept {
    AlignedBuffer buffer;
    if (count <= 0)
      return count == 0 ? Result<AlignedBuffer>(std::move(buffer))
                        : Status(ErrorCode::invalid_argument, "buffer of ", count, " elements");
    const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
    if (bytes / sizeof(T) != static_cast<std::size_t>(count))
      return Status(ErrorCode::out_of_memory, "buffer of ", count, " elements");
    void* memory = ::operator new(bytes, alignment(count), std::nothrow);
    if (memory == nullptr) return Status(ErrorCode::out_of_memory, "cannot allocate ", bytes, " bytes");
    if (detail::wants_huge_pages(bytes)) detail::prefer_huge_pages(memory, bytes);
    std::memset(memory, 0, bytes);
    buffer.data_ = static_cast<T*>(memory);
    buffer.size_ = count;
    return Result<AlignedBuffer>(std::move(buffer));
  }

  AlignedBuffer(AlignedBuffer&& other) noexcept : data_(other.data_), size_(other.size_) {
    other.data_ = nullptr;
    other.size_ = 0;
  }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() { ::operator delete(data_, alignment(size_)); }

  /// A copy, asked for by name.
  [[nodiscard]] Result<AlignedBuffer> clone() const noexcept {
    auto copy = make(size_);
    if (copy && size_ > 0) std::memcpy(copy->data(), data_, static_cast<std::size_t>(size_) * sizeof(T));
    return copy;
  }

  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] const T* data() const noexcept { return data_; }
  [[nodiscard]] index size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] T& operator[](index i) noexcept { return data_[i]; }
  [[nodiscard]] const T& operator[](index i) const noexcept { return data_[i]; }
  [[nodiscard]] std::span<T> span() noexcept { return {data_, static_cast<std::size_t>(size_)}; }
  [[nodiscard]] std::span<const T> span() const noexcept { return {data_, static_cast<std::size_t>(size_)}; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return std::as_bytes(span()); }

 private:
  [[nodiscard]] static std::align_val_t alignment(index count) noexcept {
    const bool huge = detail::wants_huge_pages(static_cast<std::size_t>(count) * sizeof(T));
    return std::align_val_t{huge ? detail::huge_page_bytes : buffer_alignment};
  }

  T* data_ = nullptr;
  index size_ = 0;
};

}  // namespace planish::inline PLANISH_ABI
