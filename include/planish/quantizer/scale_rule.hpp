#pragma once
#include <concepts>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/scheme.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {
template <class S>
concept SaysHowCodesAreSigned = requires {
  { S::symmetry } -> std::convertible_to<Symmetry>;
};
template <class S>
concept HasACodeRange = requires(int bits) {
  { S::codes(bits) } -> std::same_as<CodeRange>;
};
template <class S>
concept TurnsARangeIntoAnAffine = requires(ValueRange range, ClipPair clip, int bits) {
  { S::affine(range, clip, bits) } -> std::same_as<Affine>;
};
}  // namespace detail

/// How the range of a tile becomes its scale and zero point, and which integers its codes may be. `symmetry` says
/// whether codes are signed with zero at 0, or unsigned with a zero point. A range that leads to no finite scale gives
/// `not_finite_affine()`.
template <class S>
concept ScaleRule = detail::SaysHowCodesAreSigned<S> && detail::HasACodeRange<S> && detail::TurnsARangeIntoAnAffine<S>;

namespace detail {
template <class S>
struct ScaleRuleOrSentence {
  static constexpr bool value = ScaleRule<S>;
  static_assert(ScaleRule<S>,
                "planish: a scale rule has symmetry, codes(bits) and affine(range, clip, bits); Symmetric, Asymmetric "
                "and the policies are such");
};
/// ScaleRule, with a sentence in front of the compiler's own words.
template <class S>
concept MustBeScaleRule = ScaleRuleOrSentence<S>::value;
}  // namespace detail

/// planish's own symmetric rule: the one that kernels, files and every default follow.
struct Symmetric {
  static constexpr Symmetry symmetry = Symmetry::symmetric;
  [[nodiscard]] static constexpr CodeRange codes(int bits) noexcept { return code_range(bits, symmetry); }
  [[nodiscard]] static Affine affine(ValueRange range, ClipPair clip, int bits) noexcept {
    return symmetric_affine(range, clip, bits);
  }
};

/// planish's own asymmetric rule: the range is forced to contain 0, the zero point is a code.
struct Asymmetric {
  static constexpr Symmetry symmetry = Symmetry::asymmetric;
  [[nodiscard]] static constexpr CodeRange codes(int bits) noexcept { return code_range(bits, symmetry); }
  [[nodiscard]] static Affine affine(ValueRange range, ClipPair clip, int bits) noexcept {
    return asymmetric_affine(range, clip, bits);
  }
};

static_assert(ScaleRule<Symmetric> && ScaleRule<Asymmetric>);

}  // namespace planish::inline PLANISH_ABI
