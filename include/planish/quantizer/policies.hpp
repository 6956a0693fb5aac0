#pragma once
// The quantizers that published figures were measured with, by the name of the paper that introduced them. They differ
// in scale, integer range, zero point and in what an all-zero tile does; anchors are reached only with the exact one.
// What runs in the integer kernels are `Symmetric` and `Asymmetric`; codes made by a policy run there too whenever
// their zero points are codes (`QuantizedMatrix::to_codes` says so otherwise).
#include <planish/quantizer/scale_rule.hpp>

namespace planish::inline PLANISH_ABI::policies {

namespace detail {
[[nodiscard]] inline float at_least(float value, float least) noexcept { return value < least ? least : value; }
[[nodiscard]] inline float at_most(float value, float most) noexcept { return value > most ? most : value; }

/// Largest magnitude of the clipped range.
[[nodiscard]] inline float reach(ValueRange range, ClipPair clip) noexcept {
  const float up = clip.positive * range.highest, down = clip.negative * -range.lowest;
  return at_least(up > down ? up : down, 0.0f);
}

/// The clipped range, widened to contain 0.
[[nodiscard]] inline ValueRange around_zero(ValueRange range, ClipPair clip) noexcept {
  return {clip.negative * at_most(range.lowest, 0.0f), clip.positive * at_least(range.highest, 0.0f)};
}

[[nodiscard]] inline float steps(int bits) noexcept { return static_cast<float>((1 << bits) - 1); }
[[nodiscard]] inline float half_steps(int bits) noexcept { return static_cast<float>((1 << (bits - 1)) - 1); }

[[nodiscard]] inline Affine finite_or_refused(float scale, float zero_point) noexcept {
  if (!is_finite(scale) || !is_finite(zero_point)) return not_finite_affine();
  return {scale, static_cast<std::int32_t>(zero_point)};
}

struct SignedCodes {
  static constexpr Symmetry symmetry = Symmetry::symmetric;
  [[nodiscard]] static constexpr CodeRange codes(int bits) noexcept { return code_range(bits, symmetry); }
};
struct UnsignedCodes {
  static constexpr Symmetry symmetry = Symmetry::asymmetric;
  [[nodiscard]] static constexpr CodeRange codes(int bits) noexcept { return code_range(bits, symmetry); }
};
}  // namespace detail

/// SmoothQuant (arXiv 2211.10438): s = max(max|x|, 1e-5) / (2^(b−1) − 1).
struct SmoothQuantSymmetric : detail::SignedCodes {
  [[nodiscard]] static Affine affine(ValueRange range, ClipPair clip, int bits) noexcept {
    return detail::finite_or_refused(detail::at_least(detail::reach(range, clip), 1e-5f) / detail::half_steps(bits), 0);
  }
};

/// Weights of QuaRot (arXiv 2404.00456), SpinQuant and FlatQuant: as `Symmetric`, but max|x| is at least 1e-5.
struct QuaRotSymmetric : SmoothQuantSymmetric {};

/// Activations of QuaRot, SpinQuant and FlatQuant, and GPTQ's asymmetric form: s = (max − min) / (2^b − 1) with 0 in
/// the range, z = rint(−min / s); an all-zero tile has the range [−1, 1].
struct QuaRotAsymmetric : detail::UnsignedCodes {
  [[nodiscard]] static Affine affine(ValueRange range, ClipPair clip, int bits) noexcept {
    ValueRange ends = detail::around_zero(range, clip);
    if (ends.lowest == 0.0f && ends.highest == 0.0f) ends = {-1.0f, 1.0f};
    const float scale = (ends.highest - ends.lowest) / detail::steps(bits);
    return detail::finite_or_refused(scale, round_half_even(-ends.lowest / scale));
  }
};

/// GPTQ's symmetric form (arXiv 2210.17323): s = 2·max|x| / (2^b − 1) (15 steps for 4 bits, not 7), z = 2^(b−1).
struct GptqSymmetric : detail::UnsignedCodes {
  [[nodiscard]] static Affine affine(ValueRange range, ClipPair clip, int bits) noexcept {
    const float reach = detail::reach(range, clip);
    const float width = reach == 0.0f ? 2.0f : reach + reach;
    return detail::finite_or_refused(width / detail::steps(bits), static_cast<float>(1 << (bits - 1)));
  }
};

/// OmniQuant, AffineQuant and DuQuant (arXiv 2308.13137, 2403.12544, 2406.01721): s = clamp((max − min) / (2^b − 1),
/// 1e-5, 1e4); 0 need not be in the range, so z = rint(clamp(−min / s, ±1e4)) need not be a code.
struct OmniQuantAsymmetric : detail::UnsignedCodes {
  [[nodiscard]] static Affine affine(ValueRange range, ClipPair clip, int bits) noexcept {
    const float low = clip.negative * range.lowest, high = clip.positive * range.highest;
    const float scale = detail::at_most(detail::at_least((high - low) / detail::steps(bits), 1e-5f), 1e4f);
    return detail::finite_or_refused(scale,
                                     round_half_even(detail::at_most(detail::at_least(-low / scale, -1e4f), 1e4f)));
  }
};

/// OmniQuant's `--symmetric`: s = max|x| / (2^(b−1) − 1), z = 2^(b−1) − 1, so values reach from −z·s to 2^(b−1)·s.
struct OmniQuantSymmetric : detail::UnsignedCodes {
  [[nodiscard]] static Affine affine(ValueRange range, ClipPair clip, int bits) noexcept {
    const float scale = detail::reach(range, clip) / detail::half_steps(bits);
    return detail::finite_or_refused(detail::at_most(detail::at_least(scale, 1e-5f), 1e4f), detail::half_steps(bits));
  }
};

/// AWQ (arXiv 2306.00978): s = max(max − min, 1e-5) / (2^b − 1), z = clamp(−rint(min / s), 0, 2^b − 1); 0 need not be
/// in the range.
struct AwqAsymmetric : detail::UnsignedCodes {
  [[nodiscard]] static Affine affine(ValueRange range, ClipPair clip, int bits) noexcept {
    const float low = clip.negative * range.lowest, high = clip.positive * range.highest;
    const float levels = detail::steps(bits);
    const float scale = detail::at_least(high - low, 1e-5f) / levels;
    return detail::finite_or_refused(scale,
                                     detail::at_most(detail::at_least(-round_half_even(low / scale), 0.0f), levels));
  }
};

/// Outlier Suppression+ (arXiv 2304.09145), symmetric: codes in ±(2^(b−1) − 1), s at least the float epsilon.
struct OutlierSuppressionSymmetric : detail::SignedCodes {
  [[nodiscard]] static constexpr CodeRange codes(int bits) noexcept {
    return {-((1 << (bits - 1)) - 1), (1 << (bits - 1)) - 1};
  }
  [[nodiscard]] static Affine affine(ValueRange range, ClipPair clip, int bits) noexcept {
    return detail::finite_or_refused(detail::at_least(detail::reach(range, clip) / detail::half_steps(bits), 0x1p-23f),
                                     0);
  }
};

/// Outlier Suppression+, asymmetric: 0 in the range, z = clamp(−rint(min / s), 0, 2^b − 1), s at least the float
/// epsilon.
struct OutlierSuppressionAsymmetric : detail::UnsignedCodes {
  [[nodiscard]] static Affine affine(ValueRange range, ClipPair clip, int bits) noexcept {
    const ValueRange ends = detail::around_zero(range, clip);
    const float levels = detail::steps(bits);
    const float scale = detail::at_least((ends.highest - ends.lowest) / levels, 0x1p-23f);
    return detail::finite_or_refused(
        scale, detail::at_most(detail::at_least(-round_half_even(ends.lowest / scale), 0.0f), levels));
  }
};

static_assert(ScaleRule<SmoothQuantSymmetric> && ScaleRule<QuaRotSymmetric> && ScaleRule<QuaRotAsymmetric> &&
              ScaleRule<GptqSymmetric> && ScaleRule<OmniQuantAsymmetric> && ScaleRule<OmniQuantSymmetric> &&
              ScaleRule<AwqAsymmetric> && ScaleRule<OutlierSuppressionSymmetric> &&
              ScaleRule<OutlierSuppressionAsymmetric>);

}  // namespace planish::inline PLANISH_ABI::policies
