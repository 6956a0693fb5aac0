#pragma once
#include <algorithm>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

inline constexpr int panel_vectors = static_cast<int>(panel_width / float_lanes);

/// Where the results of one panel go: adds the residual, stores whole vectors, and keeps out of channels that do not
/// exist.
class PanelOutput {
 public:
  PanelOutput(const Epilogue& e, MatrixView<float> y, index panel, index channels) noexcept
      : y_(y),
        residual_(e.residual),
        has_residual_(e.has_residual()),
        first_(panel * panel_width),
        channels_(std::min(panel_width, channels - panel * panel_width)),
        whole_(channels_ == panel_width && y.column_stride() == 1 &&
               (!has_residual_ || e.residual.column_stride() == 1)) {
    if (e.bias != nullptr) std::memcpy(bias_, e.bias + first_, static_cast<std::size_t>(channels_) * sizeof(float));
  }

  [[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch bias(int vector) const noexcept {
    return FloatBatch::load_aligned(bias_ + vector * float_lanes);
  }

  /// All of it, 32 numbers.
  [[nodiscard]] const float* bias() const noexcept { return bias_; }

  /// Asks for the lines of rows [first, last) early, so that storing them waits for no memory: into the second-level
  /// cache, since more would hold up what the product itself reads, and hardware brings the second line of a pair.
  PLANISH_ALWAYS_INLINE void expect(index first, index last) const noexcept {
    if (!whole_) return;
    for (index row = first; row < last; ++row) __builtin_prefetch(y_.row(row) + first_, 0, 2);
  }

  /// True if rows are stored as they come: whole vectors, no residual.
  [[nodiscard]] bool is_plain() const noexcept { return whole_ && !has_residual_; }

  /// Where a row of a plain output starts.
  [[nodiscard]] float* plain_row(index row) const noexcept { return y_.row(row) + first_; }

  /// Stores one row of a plain output; `value(v)` is its vector v.
  template <class Value>
  PLANISH_ALWAYS_INLINE void store_plain_row(index row, Value&& value) const noexcept {
    float* to = y_.row(row) + first_;
    unroll<panel_vectors>([&](auto v)
                              __attribute__((always_inline)) { value(v).store_unaligned(to + v * float_lanes); });
  }

  /// Stores one row of any output; `value(v)` is its vector v, channels v · lanes and on.
  template <class Value>
  PLANISH_ALWAYS_INLINE void store_row(index row, Value&& value) const noexcept {
    if (whole_) {
      float* to = y_.row(row) + first_;
      const float* residual = has_residual_ ? residual_.row(row) + first_ : nullptr;
      unroll<panel_vectors>([&](auto v) __attribute__((always_inline)) {
        FloatBatch result = value(v);
        if (residual != nullptr) result = result + FloatBatch::load_unaligned(residual + v * float_lanes);
        result.store_unaligned(to + v * float_lanes);
      });
      return;
    }
    alignas(64) float results[panel_width];
    unroll<panel_vectors>([&](auto v)
                              __attribute__((always_inline)) { value(v).store_aligned(results + v * float_lanes); });
    for (index c = 0; c < channels_; ++c)
      y_(row, first_ + c) = has_residual_ ? results[c] + residual_(row, first_ + c) : results[c];
  }

 private:
  MatrixView<float> y_;
  MatrixView<const float> residual_;
  bool has_residual_;
  index first_, channels_;
  bool whole_;
  alignas(64) float bias_[panel_width] = {};
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
