#pragma once
// Memory between two pages that nobody may touch: one element too far ends the program.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <sys/mman.h>
#include <type_traits>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/matrix_view.hpp>
#include <planish/core/random.hpp>

namespace guarded {

using planish::index;

/// Which end of the memory lies against its forbidden page.
enum class Edge : std::uint8_t { front, back };

inline constexpr Edge edges[] = {Edge::front, Edge::back};

/// `count` elements, zero at first.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer(index count, Edge edge) : count_(static_cast<std::size_t>(count)) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t bytes = count_ * sizeof(T), room = (bytes + page - 1) / page * page;
    size_ = room + 2 * page;
    void* mapping = ::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(mapping != MAP_FAILED);
    mapping_ = static_cast<std::byte*>(mapping);
    if (room > 0) REQUIRE(::mprotect(mapping_ + page, room, PROT_READ | PROT_WRITE) == 0);
    data_ = reinterpret_cast<T*>(mapping_ + page + (edge == Edge::front ? 0 : room - bytes));
  }
  Buffer(std::span<const T> values, Edge edge) : Buffer(static_cast<index>(values.size()), edge) {
    if (!values.empty()) std::memcpy(data_, values.data(), values.size_bytes());
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { ::munmap(mapping_, size_); }

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::span<T> span() const noexcept { return {data_, count_}; }

 private:
  std::size_t count_, size_ = 0;
  std::byte* mapping_ = nullptr;
  T* data_ = nullptr;
};

/// How the elements of a matrix lie.
struct Layout {
  index rows, columns, row_stride, column_stride;

  static Layout random(index rows, index columns, planish::Random& random) {
    const auto step = static_cast<index>(random.below(3) == 0 ? 2 + random.below(2) : 1);
    return {rows, columns, columns * step + static_cast<index>(random.below(2) * random.below(20)), step};
  }
  /// Elements from the first to the last.
  [[nodiscard]] index extent() const {
    return rows == 0 || columns == 0 ? 0 : (rows - 1) * row_stride + (columns - 1) * column_stride + 1;
  }
};

/// A float matrix that ends with its last element. What lies between the elements is `between`.
class Matrix {
 public:
  static constexpr float between = -77.0f;

  Matrix(const Layout& layout, Edge edge) : layout_(layout), buffer_(layout.extent(), edge) {
    for (float& value : buffer_.span()) value = between;
  }
  Matrix(const Layout& layout, Edge edge, planish::Random& random) : Matrix(layout, edge) {
    for (index r = 0; r < layout.rows; ++r)
      for (index c = 0; c < layout.columns; ++c) view()(r, c) = static_cast<float>(random.normal());
  }
  [[nodiscard]] planish::MatrixView<float> view() const {
    return {buffer_.data(), layout_.rows, layout_.columns, layout_.row_stride, layout_.column_stride};
  }
  [[nodiscard]] std::span<const float> all() const { return buffer_.span(); }

 private:
  Layout layout_;
  Buffer<float> buffer_;
};

/// Equal to the bit, also between the elements.
inline bool same(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

}  // namespace guarded
