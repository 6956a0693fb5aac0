#pragma once
// One run of elements that share a scale: quantization and its derivative.
#include <cstdint>
#include <limits>
#include <type_traits>

#include <planish/calibration/tape/row_range.hpp>
#include <planish/core/affine.hpp>
#include <planish/kernels/cpu/isa/best.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// How the rows of a matrix are to be quantized.
struct FakeQuantizer {
  int bits = 8;  ///< 2 to 8
  Symmetry symmetry = Symmetry::symmetric;
  index group_size = 0;  ///< columns of a row that share a scale, the last group may be shorter; 0: the whole row
  bool rounds = true;  ///< false: x / s only meets its clamp (z is whole all the same). What clips cost alone; and the
                       ///< function whose derivative the straight-through gradient is
};

/// ClipPair in the precision of the tape; also the gradients of one.
template <class T>
struct RunClip {
  T positive, negative;
};

/// Scale and zero point of a run, and the ends of its range; a range too small for a scale counts as zero.
template <class T>
class QuantizedRun {
 public:
  /// What `save` writes.
  static constexpr index numbers = 4;

  [[nodiscard]] static QuantizedRun of(const T* x, index count, RunClip<T> clip,
                                       const FakeQuantizer& quantizer) noexcept {
    return of(RowRange<T>::of(x, count), clip, quantizer);
  }

  /// Of a run that has this range.
  [[nodiscard]] static QuantizedRun of(const RowRange<T>& range, RunClip<T> clip,
                                       const FakeQuantizer& quantizer) noexcept {
    QuantizedRun run(quantizer);
    run.lowest_ = range.lowest;
    run.highest_ = range.highest;
    if (!range.finite)
      run.scale_ = std::numeric_limits<T>::quiet_NaN();
    else
      run.find_scale(clip);
    if (run.up(clip) < run.least() && run.down(clip) < run.least()) run.lowest_ = run.highest_ = T{0};
    return run;
  }

  /// A run as it was saved.
  [[nodiscard]] static QuantizedRun saved(const T* from, const FakeQuantizer& quantizer) noexcept {
    QuantizedRun run(quantizer);
    run.scale_ = from[0];
    run.zero_point_ = from[1];
    run.lowest_ = from[2];
    run.highest_ = from[3];
    return run;
  }
  void save(T* to) const noexcept {
    to[0] = scale_;
    to[1] = zero_point_;
    to[2] = lowest_;
    to[3] = highest_;
  }

  [[nodiscard]] T scale() const noexcept { return scale_; }

  /// y = (code − z) · s; the codes less their zero point, whole registers of them, also to `codes` unless it is null.
  void quantize(const T* x, index count, T* y, std::int8_t* codes = nullptr) const noexcept {
    quantize(count, y, codes, [&](auto at) { return load(x, at); });
  }

  /// The same of what value(lanes) gives.
  template <class Value>
  void quantize(index count, T* y, std::int8_t* codes, Value&& value) const noexcept {
    const Lanes<T> scale(scale_), first(first_step()), last(last_step()), zero(T{0});
    for_lanes<T>(count, [&](auto at) {
      const Lanes<T> steps = xsimd::min(xsimd::max(rounded(value(at) / scale), first), last);
      store<T>((steps + zero) * scale, y, at);  // − 0 + 0 = 0: a code has no sign of zero
      if constexpr (std::is_same_v<T, float>)
        if (codes != nullptr) kernels::cpu::isa::Best::store_codes(xsimd::nearbyint_as_int(steps), codes + at.first);
    });
  }

  /// Gives pass(lanes, gradient) the gradient of what value(lanes) gives as far as it flows through codes; returns that
  /// of the range in levels, which flows to its ends.
  template <class Value, class Pass>
  [[nodiscard]] T differentiate(const T* dy, index count, Value&& value, Pass&& pass) const noexcept {
    const Lanes<T> inverse(T{1} / scale_), first(first_step()), last(last_step()), zero(T{0});
    Lanes<T> sum(T{0});
    for_lanes<T>(count, [&](auto at) {
      const Lanes<T> quotient = value(at) * inverse, code = rounded(quotient), slope = load(dy, at);
      const Lanes<T> steps = xsimd::min(xsimd::max(code, first), last);
      const auto inside = steps == code;
      sum = multiply_add<T>(slope, steps - xsimd::select(inside, quotient, zero), sum);
      pass(at, xsimd::select(inside, slope, zero));
    });
    return sum_of<T>(sum) / levels();  // ds = d(range) / levels
  }

  /// Whether the scale follows the greatest element, and the least.
  [[nodiscard]] bool follows_highest(RunClip<T> clip) const noexcept {
    return highest_ > T{0} && (symmetry_ == Symmetry::asymmetric || up(clip) > down(clip));
  }
  [[nodiscard]] bool follows_lowest(RunClip<T> clip) const noexcept {
    return lowest_ < T{0} && (symmetry_ == Symmetry::asymmetric || up(clip) <= down(clip));
  }
  [[nodiscard]] T highest() const noexcept { return highest_; }
  [[nodiscard]] T lowest() const noexcept { return lowest_; }

  /// Adds the gradient of x to dx (unless null) and returns that of the clip.
  RunClip<T> differentiate(const T* x, const T* dy, index count, RunClip<T> clip, T* dx, bool fresh) const noexcept {
    const T per_level = differentiate(
        dy, count, [&](auto at) { return load(x, at); },
        [&](auto at, Lanes<T> gradient) {
          if (dx != nullptr) accumulate<T>(gradient, dx, at, fresh);
        });
    RunClip<T> share{T{0}, T{0}};
    if (follows_highest(clip)) {
      share.positive = per_level * highest_;
      add_at(x, count, highest_, per_level * clip.positive, dx);
    }
    if (follows_lowest(clip)) {
      share.negative = -per_level * lowest_;
      add_at(x, count, lowest_, -per_level * clip.negative, dx);
    }
    return share;
  }

 private:
  explicit QuantizedRun(const FakeQuantizer& quantizer) noexcept
      : bits_(quantizer.bits), symmetry_(quantizer.symmetry), rounds_(quantizer.rounds) {}

  [[nodiscard]] Lanes<T> rounded(Lanes<T> steps) const noexcept { return rounds_ ? xsimd::nearbyint(steps) : steps; }

  /// In float by the formula of core, in double by the same formula without its roundings.
  void find_scale(RunClip<T> clip) noexcept {
    if constexpr (std::is_same_v<T, float>) {
      const Affine affine = affine_of({lowest_, highest_}, {clip.positive, clip.negative}, bits_, symmetry_);
      scale_ = affine.scale;
      zero_point_ = static_cast<T>(affine.zero_point);
    } else {
      const bool symmetric = symmetry_ == Symmetry::symmetric;
      scale_ = (symmetric ? std::max(up(clip), down(clip)) : up(clip) + down(clip)) / levels();
      if (scale_ < static_cast<T>(least_scale))
        scale_ = T{1};
      else if (!symmetric)
        zero_point_ = std::min(std::nearbyint(down(clip) / scale_), levels());
    }
  }

  [[nodiscard]] T up(RunClip<T> clip) const noexcept { return clip.positive * highest_; }
  [[nodiscard]] T down(RunClip<T> clip) const noexcept { return clip.negative * -lowest_; }
  [[nodiscard]] T levels() const noexcept {
    return static_cast<T>(symmetry_ == Symmetry::symmetric ? (1 << (bits_ - 1)) - 1 : (1 << bits_) - 1);
  }
  [[nodiscard]] T least() const noexcept { return static_cast<T>(least_scale) * levels(); }
  [[nodiscard]] T first_step() const noexcept {
    return static_cast<T>(code_range(bits_, symmetry_).lowest) - zero_point_;
  }
  [[nodiscard]] T last_step() const noexcept {
    return static_cast<T>(code_range(bits_, symmetry_).highest) - zero_point_;
  }

  static void add_at(const T* x, index count, T value, T gradient, T* dx) noexcept {
    const index at = dx == nullptr ? count : first_equal(x, count, value);
    if (at < count) dx[at] += gradient;
  }

  int bits_;
  Symmetry symmetry_;
  bool rounds_;
  T scale_ = T{1}, zero_point_ = T{0}, lowest_ = T{0}, highest_ = T{0};
};

}  // namespace planish::inline PLANISH_ABI::calibration::tape
