#pragma once
#include <planish/packing/row_quantizer.hpp>
#include <planish/quantizer/min_max.hpp>
#include <planish/quantizer/quantize_tile.hpp>
#include <planish/quantizer/quantized_matrix.hpp>

namespace planish::inline PLANISH_ABI {

/// Turns a matrix into codes: `Bits` wide, one scale per tile of `G`, by the scale rule over the range that the range
/// rule finds. A value whose members may be named: `Quantizer<4, PerToken>{.clip = {0.75f, 0.75f}}`.
template <int Bits, detail::MustBeGranularity G, detail::MustBeScaleRule Scale = Symmetric,
          detail::MustBeRangeRule Rule = MinMax>
struct Quantizer {
  static_assert(is_code_width(Bits),
                "planish: a Quantizer has 2 to 8 bits; write KeepFloat where a matrix stays unquantized");
  static constexpr int bits = Bits;
  using granularity = G;
  using scale_rule = Scale;
  using range_rule = Rule;
  using result_type = QuantizedMatrix<Bits, G, Scale>;

  ClipPair clip{};            ///< factors on the two ends of every range
  float static_scale = 0.0f;  ///< the one scale of every tile, from calibration; 0: from each tile's own range
  int static_zero_point = 0;  ///< the zero point that belongs to a static scale
  Rule rule{};
  index group_size = dynamic_group;  ///< columns per group where G is PerGroup<dynamic_group>; not read otherwise

  /// Codes of x. Fails with `not_finite` on NaN or infinity, `invalid_argument` on a clip, scale, zero point or group
  /// size outside its range, `out_of_memory`.
  [[nodiscard]] Result<result_type> try_quantize(MatrixView<const float> x) const noexcept {
    if (const Status status = validate(); !status) return status;
    const index width = detail::tile_columns<G>(x.columns(), group_size);
    auto made = result_type::make(x.rows(), x.columns(), width);
    if (!made || x.empty()) return made;
    const index height = made->tile_rows();
    for (index r = 0, at = 0; r < x.rows(); r += height)
      for (index c = 0; c < x.columns(); c += width, ++at) {
        const index rows = x.rows() - r < height ? x.rows() - r : height;
        const index columns = x.columns() - c < width ? x.columns() - c : width;
        const auto tile = x.middle_rows(r, rows).middle_columns(c, columns);
        if (const Status status = quantize_tile(tile, r, c, at, *made); !status) return status;
      }
    return made;
  }

  /// Other elements, for a sentence.
  template <class E>
  requires(!std::same_as<std::remove_const_t<E>, float>)
      [[nodiscard]] Result<result_type> try_quantize(MatrixView<E>) const noexcept {
    static_assert(std::same_as<E, float>,
                  "planish: a Quantizer reads a view of float; quantize_weights takes double too");
    return Status();
  }

  /// Ok if the members are in their documented ranges.
  [[nodiscard]] Status validate() const noexcept {
    if (!is_valid_clip(clip)) return Status(ErrorCode::invalid_argument, "clip factors are from 2^-20 to 16");
    if (!is_finite(static_scale) || (static_scale != 0.0f && static_scale < least_scale))
      return Status(ErrorCode::invalid_argument, "a static scale is a normal positive number, or 0 for none");
    if (static_scale != 0.0f && Scale::symmetry == Symmetry::symmetric && static_zero_point != 0)
      return Status(ErrorCode::invalid_argument, "symmetric codes have no zero point");
    if (static_scale != 0.0f && Scale::symmetry == Symmetry::asymmetric &&
        (static_zero_point < 0 || static_zero_point >= (1 << Bits)))
      return Status(ErrorCode::invalid_argument, "the static zero point ", static_zero_point, " is not a ", Bits,
                    "-bit code");
    if (detail::is_group<G> && detail::tile_columns<G>(1, group_size) < 1)
      return Status(ErrorCode::invalid_argument, "PerGroup<dynamic_group> needs .group_size of at least 1");
    return {};
  }

  /// What the kernels need to quantize rows of activations while a layer runs.
  [[nodiscard]] constexpr RowQuantizer row_quantizer() const noexcept
      requires((std::same_as<Scale, Symmetric> || std::same_as<Scale, Asymmetric>)&&std::same_as<Rule, MinMax> &&
               !detail::is_group<G> && !detail::SaysItsTile<G>) {
    return {.bits = Bits,
            .symmetry = Scale::symmetry,
            .clip = clip,
            .static_scale = static_scale,
            .static_zero_point = static_zero_point};
  }

#if defined(PLANISH_HAS_EXCEPTIONS)
  /// `try_quantize` that throws Error.
  [[nodiscard]] result_type quantize(MatrixView<const float> x) const { return value_or_throw(try_quantize(x)); }
#endif

 private:
  [[nodiscard]] Status quantize_tile(MatrixView<const float> tile, index row, index column, index at,
                                     result_type& into) const noexcept {
    const TileScheme<Scale> scheme{Bits, clip};
    std::uint8_t* codes = into.codes().data() + row * into.columns() + column;
    Affine affine{static_scale, static_zero_point};
    if (static_scale != 0.0f) {
      if (const Status status = detail::require_finite(tile, row, column); !status) return status;
      detail::write_codes(tile, affine, scheme.codes(), codes, into.columns());
    } else {
      const auto found = detail::quantize_tile(tile, scheme, rule, codes, into.columns(), row, column);
      if (!found) return found.status();
      affine = *found;
    }
    into.scales()[static_cast<std::size_t>(at)] = affine.scale;
    into.zero_points()[static_cast<std::size_t>(at)] = affine.zero_point;
    return {};
  }
};

/// In place of a Quantizer: the matrix stays float32. `QuantizedLinear<W4, KeepFloat, T>` is W4A16.
struct KeepFloat {
  static constexpr int bits = 16;
};

namespace detail {
template <class Q>
inline constexpr bool is_quantizer = false;
template <int Bits, class G, class S, class R>
inline constexpr bool is_quantizer<Quantizer<Bits, G, S, R>> = true;
}  // namespace detail

/// A Quantizer, or KeepFloat.
template <class Q>
concept QuantizerOrFloat = detail::is_quantizer<Q> || std::same_as<Q, KeepFloat>;

namespace detail {
/// Whether a quantizer shares its scales as weights do, or as activations do: what stands in the wrong place is
/// refused.
template <class Q>
inline constexpr bool is_per_channel = false;
template <int Bits, class G, class S, class R>
inline constexpr bool is_per_channel<Quantizer<Bits, G, S, R>> = std::same_as<G, PerChannel> || is_group<G>;
template <class Q>
inline constexpr bool is_per_token = false;
template <int Bits, class G, class S, class R>
inline constexpr bool is_per_token<Quantizer<Bits, G, S, R>> = std::same_as<G, PerToken> || std::same_as<G, PerHead>;

template <class W>
struct WeightQuantizerOrSentence {
  static_assert(QuantizerOrFloat<W>,
                "planish: weights are quantized by a Quantizer<Bits, Granularity>, or KeepFloat leaves them float32");
  static_assert(!is_per_token<W>,
                "planish: PerToken and PerHead are for activations; weights take PerChannel, PerGroup<Size> or "
                "PerTensor");
  static constexpr bool value = QuantizerOrFloat<W> && !is_per_token<W>;
};
/// What quantizes weights, with a sentence in front of the compiler's own words.
template <class W>
concept MustBeWeightQuantizer = WeightQuantizerOrSentence<W>::value && requires {
  W::bits;
};

template <class A>
concept RunsOnline = std::same_as<A, KeepFloat> || requires(const A& quantizer) {
  quantizer.row_quantizer();
};

template <class A>
struct ActivationQuantizerOrSentence {
  static_assert(QuantizerOrFloat<A>,
                "planish: activations are quantized by a Quantizer<Bits, PerToken>, or KeepFloat leaves them float32");
  static_assert(!is_per_channel<A>,
                "planish: PerChannel and PerGroup are for weights; activations take PerToken, PerHead or PerTensor");
  static constexpr bool is_placed = QuantizerOrFloat<A> && !is_per_channel<A>;
  static_assert(!is_placed || RunsOnline<A>,
                "planish: activations are quantized online by Symmetric or Asymmetric over MinMax; use clip or "
                "static_scale for other ranges");
  static constexpr bool value = is_placed && RunsOnline<A>;
};
/// What quantizes activations, with a sentence in front of the compiler's own words.
template <class A>
concept MustBeActivationQuantizer = ActivationQuantizerOrSentence<A>::value;
}  // namespace detail

}  // namespace planish::inline PLANISH_ABI
