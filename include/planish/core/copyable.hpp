#pragma once
#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI {

/// std::copyable of a type of values, in the four expressions that it stands for: the standard's own comes by way of
/// common references, some twenty class templates for every type that is asked about.
template <class T>
concept Copyable = requires(T& to, const T& from, T&& leaving) {
  T(from);
  T(static_cast<T&&>(leaving));
  to = from;
  to = static_cast<T&&>(leaving);
};

}  // namespace planish::inline PLANISH_ABI
