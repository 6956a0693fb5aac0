#pragma once
// Learned factors on the ends of a range: one for all rows, or one per row.
#include <planish/calibration/tape/row_blocks.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// Throws Error unless `factor` is 1 × 1 or rows × 1.
template <class T>
void check_row_factor(const char* name, Variable<T> factor, index rows) {
  if (factor.columns() != 1 || (factor.rows() != 1 && factor.rows() != rows))
    Tape<T>::fail(name, " of ", rows, " rows is 1 x 1 or ", rows, " x 1, not ", factor.rows(), " x ", factor.columns());
}

template <class T>
[[nodiscard]] inline T row_factor(MatrixView<const T> factor, index row) noexcept {
  return factor(factor.rows() == 1 ? 0 : row, 0);
}

/// Adds column `which` of `shares`, the gradient of the factor by row, to the factor's gradient.
template <class T>
void add_row_factor_gradient(Tape<T>& tape, Variable<T> factor, MatrixView<const T> shares, index which) {
  if (!factor.needs_gradient()) return;
  const auto target = tape.gradient(factor);
  if (factor.rows() != 1) {
    for (index r = 0; r < shares.rows(); ++r)
      target.at(r, 0) = target.fresh ? shares(r, which) : target.at(r, 0) + shares(r, which);
    return;
  }
  double sum = 0.0;
  for (index r = 0; r < shares.rows(); ++r) sum += static_cast<double>(shares(r, which));
  target.at(0, 0) = target.fresh ? static_cast<T>(sum) : target.at(0, 0) + static_cast<T>(sum);
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
