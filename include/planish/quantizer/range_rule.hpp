#pragma once
#include <concepts>

#include <planish/core/matrix_view.hpp>
#include <planish/quantizer/scale_rule.hpp>

namespace planish::inline PLANISH_ABI {

/// What a rule that searches may try ranges with: the scale rule, width and clip of the tile's quantizer.
template <ScaleRule Scale>
struct TileScheme {
  int bits = 8;
  ClipPair clip{};

  [[nodiscard]] Affine affine(ValueRange range) const noexcept { return Scale::affine(range, clip, bits); }
  [[nodiscard]] constexpr CodeRange codes() const noexcept { return Scale::codes(bits); }
};

namespace detail {
template <class R>
concept LooksAtTheTile = requires(const R& rule, MatrixView<const float> tile) {
  { rule(tile) } -> std::convertible_to<ValueRange>;
};
template <class R>
concept SearchesWithTheScheme = requires(const R& rule, MatrixView<const float> tile, TileScheme<Symmetric> scheme) {
  { rule(tile, scheme) } -> std::convertible_to<ValueRange>;
};
}  // namespace detail

/// How the values of a tile become its range: anything callable with the tile, or with the tile and its TileScheme. The
/// tile is finite; whether 0 belongs to the range is the scale rule's business.
template <class R>
concept RangeRule = detail::LooksAtTheTile<R> || detail::SearchesWithTheScheme<R>;

namespace detail {
template <class R>
struct RangeRuleOrSentence {
  static constexpr bool value = RangeRule<R>;
  static_assert(RangeRule<R>,
                "planish: a range rule is callable, const, with a tile, or with a tile and its TileScheme, and returns "
                "a ValueRange; MinMax, Percentile and MseShrink are such");
};
/// RangeRule, with a sentence in front of the compiler's own words.
template <class R>
concept MustBeRangeRule = RangeRuleOrSentence<R>::value;
}  // namespace detail

/// The range that a rule gives a tile.
template <RangeRule R, ScaleRule Scale>
[[nodiscard]] ValueRange find_range(const R& rule, MatrixView<const float> tile, TileScheme<Scale> scheme) {
  if constexpr (detail::LooksAtTheTile<R>)
    return rule(tile);
  else
    return rule(tile, scheme);
}

}  // namespace planish::inline PLANISH_ABI
