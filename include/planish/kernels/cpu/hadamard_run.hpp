#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/butterflies.hpp>
#include <planish/kernels/cpu/hadamard_base.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/kernels/hadamard_plan_view.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// One or several rows side by side on their way through the passes, which go back and forth between two buffers.
class HadamardRun {
 public:
  /// Room for `most` rows side by side.
  HadamardRun(const HadamardPlanView& plan, index most, std::span<float> scratch) noexcept
      : plan_(plan),
        in_vector_(std::min(plan.doublings, stages_in_vector)),
        fills_vectors_(plan.size % float_lanes == 0) {
    const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
    constexpr std::uintptr_t line = 64, element = sizeof(float);
    const index size = plan.size * most;
    room_ = round_up(size, hadamard_slack) + hadamard_slack;
    from_ = scratch.data() + (line - address % line) % line / element;
    to_ = from_ + room_;
    table_ = to_ + room_;
    std::fill(from_ + size, from_ + room_, 0.0f);
    std::fill(to_ + size, to_ + room_, 0.0f);
    all_order_12_ = plan.base_count > 0;
    for (index i = 0; i < plan.base_count; ++i) all_order_12_ = all_order_12_ && is_order_12(plan.bases[i]);
  }

  /// Takes rows in, with signs (or null), through the stages that lie within a vector, and, where there are as many as
  /// fill one, the next ones. `ahead`: the row behind them, if it comes next.
  PLANISH_LAZY void load(MatrixView<const float> x, const float* signs, const float* ahead) noexcept {
    size_ = plan_.size * x.rows();
    done_ = in_vector_;
    if (const int between = stages_of_pass(plan_.doublings - in_vector_); between > 0) {
      done_ += between;
      return with_constant<most_stages_per_pass>(between, [&](auto n) {
        for (index t = 0; t < x.rows(); ++t) {
          float* const row = from_ + t * plan_.size;
          const float* const next = t + 1 < x.rows() ? nullptr : ahead;
          if (signs == nullptr)
            first_butterflies<stages_in_vector, n, false>(x.row(t), signs, plan_.size, row, next);
          else
            first_butterflies<stages_in_vector, n, true>(x.row(t), signs, plan_.size, row, next);
        }
      });
    }
    with_constant<stages_in_vector + 1>(in_vector_ + 1, [&](auto n) {
      if (fills_vectors_ && signs == nullptr) return load_rows<n - 1, false>(x, signs);
      if (fills_vectors_) return load_rows<n - 1, true>(x, signs);
      for (index t = 0; t < x.rows(); ++t) load_row(x.row(t), signs, from_ + t * plan_.size);
      if constexpr (n > 1)
        for (index i = 0; i < size_; i += float_lanes)
          butterflies_in_vector<n - 1>(FloatBatch::load_unaligned(from_ + i)).store_unaligned(from_ + i);
    });
  }

  /// The other passes. If `y` is given (one row) and the last pass is one of whole vectors, that pass writes y scaled
  /// and the answer is true.
  PLANISH_LAZY [[nodiscard]] bool transform(float* y, FloatBatch scale) noexcept {
    int stages = plan_.doublings - done_;
    index stride = index{1} << done_;
    while (stages > 0) {
      const int count = stages_of_pass(stages);
      const bool last = y != nullptr && count == stages && plan_.base_count == 0;
      with_constant<most_stages_per_pass>(count, [&](auto n) {
        if (last)
          butterflies<n>(from_, size_, stride, y, ScaledStore{scale});
        else
          butterflies<n>(from_, size_, stride, from_, PlainStore{});
      });
      if (last) return true;
      stages -= count;
      stride <<= count;
    }
    for (index i = plan_.base_count; i-- > 0;) {
      const HadamardBaseView& base = plan_.bases[i];
      const bool last = y != nullptr && i == 0 && stride >= float_lanes;
      if (all_order_12_)
        one_base(base, stride, Order12{}, last ? y : nullptr, scale);
      else
        one_base(base, stride, AnyOrder{base, table_}, last ? y : nullptr, scale);
      if (last) return true;
      stride *= base.order;
      std::swap(from_, to_);
    }
    return false;
  }

  /// The same for one row whose result stays in scratch: where it lies, scaled, until the next one comes; null if the
  /// last pass is none of whole vectors.
  PLANISH_LAZY [[nodiscard]] float* transform_here(FloatBatch scale) noexcept {
    float* const y = plan_.base_count == 0 || plan_.base_count % 2 == 0 ? from_ : to_;
    return transform(y, scale) ? y : nullptr;
  }

  /// Writes row t of a joint run, scaled.
  void store(float* y, index t, FloatBatch scale) const noexcept {
    const float* row = from_ + t * plan_.size;
    const ScaledStore store{scale};
    index c = 0;
    for (; c + float_lanes <= plan_.size; c += float_lanes) store(FloatBatch::load_unaligned(row + c), y + c);
    if (const index rest = plan_.size - c; rest > 0)
      store_partial(multiply_add(load_partial(row + c, rest), scale, FloatBatch(0.0f)), y + c, rest);
  }

 private:
  /// How many of so many stages the next pass takes, so that all take about as many.
  [[nodiscard]] static constexpr int stages_of_pass(int stages) noexcept {
    const int passes = divide_up(stages, most_stages_per_pass);
    return passes == 0 ? 0 : divide_up(stages, passes);
  }

  template <int Stages, bool Signed>
  void load_rows(MatrixView<const float> x, const float* signs) noexcept {
    for (index t = 0; t < x.rows(); ++t) {
      const float* in = x.row(t);
      float* row = from_ + t * plan_.size;
      for (index c = 0; c < plan_.size; c += float_lanes) {
        FloatBatch value = FloatBatch::load_unaligned(in + c);
        if constexpr (Signed) value = value * FloatBatch::load_unaligned(signs + c);
        butterflies_in_vector<Stages>(value).store_unaligned(row + c);
      }
    }
  }

  void load_row(const float* x, const float* signs, float* row) const noexcept {
    for (index c = 0; c < plan_.size; c += float_lanes) {
      const index count = std::min(float_lanes, plan_.size - c);
      FloatBatch value = load_partial(x + c, count);
      if (signs != nullptr) value = value * load_partial(signs + c, count);
      store_partial(value, row + c, count);
    }
  }

  template <class Columns>
  void one_base(const HadamardBaseView& base, index stride, const Columns& columns, float* y,
                FloatBatch scale) noexcept {
    if (y != nullptr)
      hadamard_base(from_, size_, base.order, stride, y, columns, ScaledStore{scale});
    else if (stride == 4 && float_lanes > 4)
      hadamard_base_of_runs(from_, size_, base.order, to_, columns);
    else
      hadamard_base(from_, size_, base.order, stride, to_, columns, PlainStore{});
  }

  HadamardPlanView plan_;
  int in_vector_;       // stages within a vector
  int done_ = 0;        // stages that the rows on their way have behind them
  bool fills_vectors_;  // a row is whole vectors
  bool all_order_12_ = false;
  index room_ = 0;  // elements of a buffer, slack included
  index size_ = 0;  // elements of the rows that are on their way
  float* from_ = nullptr;
  float* to_ = nullptr;
  float* table_ = nullptr;
};

}  // namespace detail
}  // namespace planish::inline PLANISH_ABI::kernels::cpu
