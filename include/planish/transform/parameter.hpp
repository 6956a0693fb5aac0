#pragma once
#include <cmath>
#include <concepts>
#include <span>
#include <type_traits>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI {

/// Values of a stage in the two precisions that it runs in. The float path multiplies by `single`; folding and the laws
/// use `exact`, so that a stage and its dual cancel to float64 although what runs online is float32.
class Parameter {
 public:
  Parameter() = default;

  /// Given float values: exact by definition.
  PLANISH_LAZY explicit Parameter(Array<float> values)
      : single_(std::move(values)), exact_(single_.begin(), single_.end()) {}

  /// Derived float64 values: rounded once for the float path.
  PLANISH_LAZY explicit Parameter(Array<double> values) : single_(values.size()), exact_(std::move(values)) {
    for (std::size_t i = 0; i < exact_.size(); ++i) single_[i] = static_cast<float>(exact_[i]);
  }

  /// Float values with their own float64 counterpart, of the same length.
  PLANISH_LAZY Parameter(Array<float> single, Array<double> exact)
      : single_(std::move(single)), exact_(std::move(exact)) {}

  [[nodiscard]] index size() const noexcept { return static_cast<index>(single_.size()); }
  [[nodiscard]] std::span<const float> single() const noexcept { return {single_.data(), single_.size()}; }
  [[nodiscard]] std::span<const double> exact() const noexcept { return {exact_.data(), exact_.size()}; }

  template <class T>
  [[nodiscard]] const T* data() const noexcept {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "planish: stages run in float and in double");
    if constexpr (std::is_same_v<T, float>)
      return single_.data();
    else
      return exact_.data();
  }

 private:
  Array<float> single_;
  Array<double> exact_;
};

namespace detail {

/// Values of either precision as float, the precision in which parameters are stored.
template <class T>
[[nodiscard]] Array<float> to_floats(std::span<const T> values) {
  Array<float> floats;
  floats.reserve(values.size());
  for (T value : values) floats.push_back(static_cast<float>(value));
  return floats;
}

/// Position of the first NaN or infinity, or −1.
[[nodiscard]] inline index first_not_finite(std::span<const float> values) noexcept {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!is_finite(values[i])) return static_cast<index>(i);
  return -1;
}

}  // namespace detail
}  // namespace planish::inline PLANISH_ABI
