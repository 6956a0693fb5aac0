#pragma once
#include <cstdint>

#include <planish/core/matrix_view.hpp>

namespace planish::inline PLANISH_ABI {

/// True if two matrices of dense rows may share an element. Exact where their rows are equally far apart (two column
/// ranges of one buffer are apart), else whether the memory they span overlaps.
template <class A, class B>
[[nodiscard]] bool may_overlap(MatrixView<A> a, MatrixView<B> b) noexcept {
  if (a.empty() || b.empty()) return false;
  const auto first_byte = [](auto m) {
    const auto start = reinterpret_cast<std::intptr_t>(m.data());
    const auto down = m.row_stride() < 0 ? (m.rows() - 1) * m.row_stride() : 0;
    return start + down * static_cast<std::intptr_t>(sizeof(*m.data()));
  };
  const auto row_bytes = [](auto m) { return m.columns() * static_cast<std::intptr_t>(sizeof(*m.data())); };
  const auto stride = [](auto m) {
    const auto bytes = m.row_stride() * static_cast<std::intptr_t>(sizeof(*m.data()));
    return bytes < 0 ? -bytes : bytes;
  };
  const std::intptr_t a_first = first_byte(a), b_first = first_byte(b);
  const std::intptr_t a_end = a_first + (a.rows() - 1) * stride(a) + row_bytes(a);
  const std::intptr_t b_end = b_first + (b.rows() - 1) * stride(b) + row_bytes(b);
  if (a_end <= b_first || b_end <= a_first) return false;
  if (a.rows() == 1 || b.rows() == 1 || stride(a) != stride(b) || stride(a) < row_bytes(a) || stride(b) < row_bytes(b))
    return true;
  const std::intptr_t offset = ((b_first - a_first) % stride(a) + stride(a)) % stride(a);
  return offset < row_bytes(a) || offset + row_bytes(b) > stride(a);
}

}  // namespace planish::inline PLANISH_ABI
