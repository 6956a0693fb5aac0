#pragma once
#include <cstdint>
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/random.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/reference/hadamard_rows.hpp>
#include <planish/transform/hadamard_orders/plan.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// (x ⊙ signs) · H / √n, the fast Walsh–Hadamard transform (QuaRot, arXiv 2404.00456), for every n that is a product of
/// orders that can be generated here. Orthogonal, so it is its own dual, also where H is not symmetric.
class Hadamard {
 public:
  static constexpr const char* name = "hadamard";
  static constexpr StageKind kind{.orthogonal = true};

  /// Without signs. Fails with `unsupported` where no matrix of this order is known, and names the alternatives.
  PLANISH_LAZY [[nodiscard]] static Result<Hadamard> make(index size) { return with_signs(size, {}); }

  /// With random signs in front.
  PLANISH_LAZY [[nodiscard]] static Result<Hadamard> make(index size, std::uint64_t seed) {
    if (size < 1) return Status(ErrorCode::invalid_argument, "hadamard: size ", size);
    Random random(seed);
    Array<float> signs(static_cast<std::size_t>(size));
    for (float& sign : signs) sign = random.sign();
    return with_signs(size, std::move(signs));
  }

  /// With given signs: n values +1 or −1, or none.
  PLANISH_LAZY [[nodiscard]] static Result<Hadamard> with_signs(index size, Array<float> signs) {
    if (!signs.empty() && static_cast<index>(signs.size()) != size)
      return Status(ErrorCode::shape_mismatch, "hadamard: ", signs.size(), " signs for ", size, " channels");
    for (std::size_t i = 0; i < signs.size(); ++i)
      if (signs[i] != 1.0f && signs[i] != -1.0f)
        return Status(ErrorCode::invalid_argument, "hadamard: sign ", i, " is neither +1 nor -1");
    auto plan = HadamardPlan::make(size);
    if (!plan) return plan.status();
    return Hadamard(*std::move(plan), std::move(signs));
  }

  [[nodiscard]] index size() const noexcept { return plan_.view().size; }
  [[nodiscard]] index scratch_size(index rows) const noexcept {
    return rows == 0 ? 0 : kernels::hadamard_scratch_size(plan_.view());
  }
  [[nodiscard]] kernels::HadamardPlanView plan() const noexcept { return plan_.view(); }

  /// n values ±1, or null.
  [[nodiscard]] const float* signs() const noexcept { return signs_.empty() ? nullptr : signs_.data(); }

  template <class T>
  void apply(MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) const noexcept {
    kernels::reference::hadamard_rows(x, plan(), signs(), y, scratch);
  }

  PLANISH_LAZY [[nodiscard]] Hadamard dual() const { return *this; }

  /// "signs", n values; without signs only "size".
  template <class Visitor>
  void for_each_parameter(Visitor&& visitor) const {
    if (signs_.empty()) {
      const float count = static_cast<float>(size());
      visitor("size", std::span<const float>(&count, 1), index{1}, index{1});
    } else {
      visitor("signs", std::span<const float>(signs_.data(), signs_.size()), index{1}, size());
    }
  }

 private:
  PLANISH_LAZY Hadamard(HadamardPlan plan, Array<float> signs) : plan_(std::move(plan)), signs_(std::move(signs)) {}

  HadamardPlan plan_;
  Array<float> signs_;  // n or none
};

static_assert(TransformStage<Hadamard>);

}  // namespace planish::inline PLANISH_ABI
