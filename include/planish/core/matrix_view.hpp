#pragma once
#include <concepts>
#include <span>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish {

/// A rows × columns window onto memory that somebody else owns; element (r, c) lies at
/// `data[r * row_stride + c * column_stride]`. Trivial, and part of the untagged vocabulary: it may cross between
/// units built with different instruction sets.
template <class T>
class MatrixView {
 public:
  using value_type = std::remove_const_t<T>;

  PLANISH_ALWAYS_INLINE constexpr MatrixView() noexcept = default;

  /// Contiguous row-major matrix.
  PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr MatrixView(T* data, index rows, index columns) noexcept
      : MatrixView(data, rows, columns, columns, 1) {}

  /// Rows `row_stride` elements apart, columns `column_stride` elements apart.
  PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr MatrixView(T* data, index rows, index columns, index row_stride,
                                                                 index column_stride = 1) noexcept
      : data_(data), rows_(rows), columns_(columns), row_stride_(row_stride), column_stride_(column_stride) {}

  /// Contiguous row-major matrix over a span, which must hold rows · columns elements.
  PLANISH_ALWAYS_INLINE constexpr MatrixView(std::span<T> data, index rows, index columns) noexcept
      : MatrixView(data.data(), rows, columns) {}

  /// A dense Eigen matrix or map (anything with data(), rows(), cols(), innerStride(), outerStride(), IsRowMajor).
  template <class Dense>
  requires requires(Dense& m) {
    { m.data() } -> std::convertible_to<T*>;
    m.cols();
    m.innerStride();
    m.outerStride();
    Dense::IsRowMajor;
  }
  PLANISH_ALWAYS_INLINE constexpr MatrixView(Dense& m) noexcept
      : MatrixView(m.data(), static_cast<index>(m.rows()), static_cast<index>(m.cols()),
                   static_cast<index>(Dense::IsRowMajor ? m.outerStride() : m.innerStride()),
                   static_cast<index>(Dense::IsRowMajor ? m.innerStride() : m.outerStride())) {}

  /// A mutable view is also a read-only view.
  template <class U>
  requires(std::is_same_v<const U, T>) PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE
      constexpr MatrixView(MatrixView<U> other) noexcept
      : MatrixView(other.data(), other.rows(), other.columns(), other.row_stride(), other.column_stride()) {}

  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr T* data() const noexcept { return data_; }
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr index rows() const noexcept { return rows_; }
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr index columns() const noexcept { return columns_; }
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr index size() const noexcept {
    return rows_ * columns_;
  }
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr index row_stride() const noexcept {
    return row_stride_;
  }
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr index column_stride() const noexcept {
    return column_stride_;
  }
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr bool empty() const noexcept {
    return rows_ == 0 || columns_ == 0;
  }

  /// True if every row is a contiguous run of elements.
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr bool has_dense_rows() const noexcept {
    return column_stride_ == 1 || columns_ <= 1;
  }

  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr T& operator()(index row,
                                                                                  index column) const noexcept {
    return data_[row * row_stride_ + column * column_stride_];
  }

  /// Pointer to the first element of a row.
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr T* row(index r) const noexcept {
    return data_ + r * row_stride_;
  }

  /// Rows [first, first + count).
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr MatrixView middle_rows(index first,
                                                                                           index count) const noexcept {
    return {data_ + first * row_stride_, count, columns_, row_stride_, column_stride_};
  }

  /// Columns [first, first + count).
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr MatrixView middle_columns(
      index first, index count) const noexcept {
    return {data_ + (rows_ > 0 ? first * column_stride_ : 0), rows_, count, row_stride_, column_stride_};
  }

  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr MatrixView transposed() const noexcept {
    return {data_, columns_, rows_, column_stride_, row_stride_};
  }

 private:
  T* data_ = nullptr;
  index rows_ = 0;
  index columns_ = 0;
  index row_stride_ = 0;
  index column_stride_ = 1;
};

}  // namespace planish
