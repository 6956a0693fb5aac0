#pragma once
#include <cmath>
#include <concepts>
#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <planish/calibration/tape/tape.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// A matrix that is learned, its gradient, and how fast it moves against the others.
template <tape::MustBeReal T>
struct LearnedMatrix {
  std::string name;
  index rows = 0, columns = 0;
  std::vector<T> values, gradient;
  double rate_factor = 1.0;  ///< times the learning rate
  /// Rows that move in units of their own, times the learning rate, and without decay: weights. Empty: no such matrix.
  std::vector<T> row_rates = {};
  bool learns = true;  ///< off: stays as it is from now on, and costs no gradient

  [[nodiscard]] MatrixView<T> view() { return {values.data(), rows, columns}; }
  [[nodiscard]] MatrixView<const T> view() const { return {values.data(), rows, columns}; }

  /// On a tape: `backward` adds to `gradient`.
  [[nodiscard]] tape::Variable<T> record(tape::Tape<T>& on) {
    if (!learns) return on.constant(std::as_const(*this).view());
    return on.parameter(view(), {gradient.data(), rows, columns});
  }
};

/// Everything that a method learns at once; owner of its numbers. References to members stay valid.
template <tape::MustBeReal T>
class ParameterSet {
 public:
  ParameterSet() = default;
  ParameterSet(ParameterSet&&) = default;
  ParameterSet& operator=(ParameterSet&&) = default;

  LearnedMatrix<T>& add(std::string name, index rows, index columns, T start = T{}, double rate_factor = 1.0) {
    const auto count = static_cast<std::size_t>(rows * columns);
    return members_.emplace_back(LearnedMatrix<T>{
        std::move(name), rows, columns, std::vector<T>(count, start), std::vector<T>(count), rate_factor, {}, true});
  }

  [[nodiscard]] std::deque<LearnedMatrix<T>>& members() noexcept { return members_; }
  [[nodiscard]] const std::deque<LearnedMatrix<T>>& members() const noexcept { return members_; }

  void clear_gradients() {
    for (auto& m : members_)
      if (m.learns) std::fill(m.gradient.begin(), m.gradient.end(), T{});
  }

  /// False if a value or gradient is NaN or infinite. Weights are not looked at: it would be another pass through
  /// memory, and one such number makes the next loss NaN.
  [[nodiscard]] bool all_finite() const {
    for (const auto& m : members_)
      for (std::size_t i = 0; m.row_rates.empty() && i < m.values.size(); ++i)
        if (!std::isfinite(m.values[i]) || !std::isfinite(m.gradient[i])) return false;
    return true;
  }

  /// All values one after the other, to return to.
  [[nodiscard]] std::vector<T> snapshot() const {
    std::size_t count = 0;
    for (const auto& m : members_) count += m.values.size();
    std::vector<T> values;
    values.reserve(count);  // exactly: it may be most of what learning takes
    for (const auto& m : members_) values.insert(values.end(), m.values.begin(), m.values.end());
    return values;
  }
  void restore(std::span<const T> values) {
    std::size_t at = 0;
    for (auto& m : members_) {
      std::copy_n(values.data() + at, m.values.size(), m.values.begin());
      at += m.values.size();
    }
  }

 private:
  std::deque<LearnedMatrix<T>> members_;
};

}  // namespace planish::inline PLANISH_ABI::calibration
