#pragma once
#include <concepts>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI {

/// One scale for the whole matrix.
struct PerTensor {};

/// One scale per row of activations (tokens × channels).
struct PerToken {};

/// One scale per row of weights (out × in): per output channel.
struct PerChannel {};

/// Group size known only at run time; the quantizer carries it.
inline constexpr index dynamic_group = -1;

/// One scale per run of `Size` neighbouring columns of a row; the last run of a row may be shorter.
template <index Size = dynamic_group>
struct PerGroup {
  static_assert(
      Size == dynamic_group || Size > 0,
      "planish: PerGroup<Size> needs at least one column; PerGroup<dynamic_group> takes its size at run time");
  static constexpr index size = Size;
};

/// One scale per token and attention head: per row once heads are rows (tokens · heads × head size).
struct PerHead {};

namespace detail {
template <class G>
inline constexpr bool is_group = false;
template <index Size>
inline constexpr bool is_group<PerGroup<Size>> = true;

template <class G>
concept SaysItsTile = requires(index n) {
  { G::tile_rows(n) } -> std::same_as<index>;
  { G::tile_columns(n) } -> std::same_as<index>;
};
}  // namespace detail

/// The tile of a matrix that shares one scale: one of those above, or a type of one's own with the static functions
/// `index tile_rows(index rows)` and `index tile_columns(index columns)`, which say how many rows and columns of a
/// matrix with so many belong to a tile, at least 1; the last tiles may be smaller.
template <class G>
concept Granularity = std::same_as<G, PerTensor> || std::same_as<G, PerToken> || std::same_as<G, PerChannel> ||
    std::same_as<G, PerHead> || detail::is_group<G> || detail::SaysItsTile<G>;

namespace detail {
/// Rows that share a scale under G in a matrix of `rows` rows.
template <Granularity G>
[[nodiscard]] constexpr index tile_rows(index rows) noexcept {
  if constexpr (SaysItsTile<G>)
    return G::tile_rows(rows);
  else
    return std::same_as<G, PerTensor> ? rows : 1;
}
}  // namespace detail

namespace detail {
template <class G>
struct GranularityOrSentence {
  static constexpr bool value = Granularity<G>;
  static_assert(Granularity<G>,
                "planish: a scale is shared PerTensor, PerToken, PerChannel, PerGroup<Size> or PerHead");
};
/// Granularity, with a sentence in front of the compiler's own words.
template <class G>
concept MustBeGranularity = GranularityOrSentence<G>::value;
}  // namespace detail

}  // namespace planish::inline PLANISH_ABI
