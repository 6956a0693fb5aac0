#pragma once
#include <string>
#include <utility>

#include <planish/linear/any_transform.hpp>
#include <planish/linear/describe.hpp>
#include <planish/linear/prepare.hpp>

namespace planish::inline PLANISH_ABI {

/// Site whose transform and quantizer are known at run time. Const and shareable.
class AnySite {
 public:
  /// `quantizer.bits` 16 leaves activations float. `fake` gives consumers the float values of the codes instead of the
  /// codes. Errors: a width, clip or static scale outside its range.
  [[nodiscard]] static Result<AnySite> make(AnyTransform online, const RowQuantizer& quantizer,
                                            SiteMode mode = SiteMode::packed) {
    const bool quantizes = quantizer.bits != 16;
    if (quantizes && !is_code_width(quantizer.bits))
      return Status(ErrorCode::invalid_argument, "activations of ", quantizer.bits, " bits; 2 to 8, or 16 for float");
    if (quantizes && !is_valid_clip(quantizer.clip))
      return Status(ErrorCode::invalid_argument, "clip factors of activations are from 2^-20 to 16");
    if (quantizes && quantizer.is_static() &&
        !(is_finite(quantizer.static_scale) && quantizer.static_scale >= least_scale))
      return Status(ErrorCode::invalid_argument, "a static scale is a normal positive number");
    if (quantizes && quantizer.is_static() && quantizer.symmetry == Symmetry::asymmetric &&
        (quantizer.static_zero_point < 0 || quantizer.static_zero_point >= (1 << quantizer.bits)))
      return Status(ErrorCode::invalid_argument, "the static zero point ", quantizer.static_zero_point, " is not a ",
                    quantizer.bits, "-bit code");
    return AnySite(std::move(online), {.quantizer = quantizer, .quantizes = quantizes, .mode = mode});
  }

  [[nodiscard]] index size() const noexcept { return online_.size(); }
  [[nodiscard]] const AnyTransform& online() const noexcept { return online_; }
  [[nodiscard]] const RowQuantizer& quantizer() const noexcept { return plan_.quantizer; }
  [[nodiscard]] SiteMode mode() const noexcept { return plan_.mode; }

  /// Bytes that prepare needs.
  [[nodiscard]] std::size_t workspace_size(index rows, int workers = 1) const noexcept {
    return detail::prepare_bytes(online_, plan_, rows, workers);
  }

  /// x (rows × size) → `in`, which lies in the workspace and is valid as long as that is (and x, where activations stay
  /// float and nothing runs online). x may have any strides. A row with NaN or infinity gives `not_finite`, naming the
  /// first, and NaN outputs; all other rows are right.
  Status prepare(MatrixView<const float> x, QuantizedInput& in, Workspace& workspace,
                 ExecutorReference executor = {}) const noexcept {
    return detail::prepare(DefaultBackend{}, online_, plan_, x, in, workspace, executor);
  }

  /// "hadamard(576) -> a8 per token, symmetric: int8 codes, avx512vnni".
  [[nodiscard]] std::string describe() const { return detail::describe_site(online_, plan_, DefaultBackend::name); }

 private:
  AnySite(AnyTransform online, const detail::SitePlan& plan) : online_(std::move(online)), plan_(plan) {}

  AnyTransform online_;
  detail::SitePlan plan_;
};

}  // namespace planish::inline PLANISH_ABI
