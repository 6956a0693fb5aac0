#pragma once
#include <concepts>
#include <type_traits>

#include <planish/core/half.hpp>
#include <planish/core/matrix_view.hpp>

namespace planish::inline PLANISH_ABI {

/// Activations of 16 bits: Half or BFloat16. They widen exactly to float32, in which everything is computed, and
/// results round to the nearest even once.
template <class E>
concept SixteenBitFloat = std::same_as<E, Half> || std::same_as<E, BFloat16>;

namespace detail {

/// Elements of an input and an output that a layer takes together.
template <class X, class Y>
concept ActivationsOf = std::same_as<std::remove_const_t<X>, Y> &&(std::same_as<Y, float> || SixteenBitFloat<Y>);

/// y = x, any strides.
template <SixteenBitFloat E>
void widen_rows(MatrixView<const E> x, MatrixView<float> y) noexcept {
  for (index r = 0; r < x.rows(); ++r)
    for (index c = 0; c < x.columns(); ++c) y(r, c) = x(r, c).to_float();
}

/// y = x rounded.
template <SixteenBitFloat E>
void narrow_rows(MatrixView<const float> x, MatrixView<E> y) noexcept {
  for (index r = 0; r < x.rows(); ++r)
    for (index c = 0; c < x.columns(); ++c) y(r, c) = E::from_float(x(r, c));
}

}  // namespace detail

}  // namespace planish::inline PLANISH_ABI
