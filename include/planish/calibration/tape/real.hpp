#pragma once
#include <concepts>

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// What is learned: float, or double for checks.
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

namespace detail {
template <class T>
struct RealOrSentence {
  static constexpr bool value = Real<T>;
  static_assert(Real<T>, "planish: tapes and what is learned on them are of float or double");
};
}  // namespace detail
/// Real, with a sentence in front of the compiler's own words.
template <class T>
concept MustBeReal = detail::RealOrSentence<T>::value;

}  // namespace planish::inline PLANISH_ABI::calibration::tape
