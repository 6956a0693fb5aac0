#pragma once
#include <string>
#include <utility>

#include <planish/backend/default.hpp>
#include <planish/linear/describe.hpp>
#include <planish/linear/prepare.hpp>
#include <planish/quantizer/quantizer.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

/// The plan of a site whose activations are quantized by A. Errors: what A's members say, and a scale per tensor that
/// is not static.
template <QuantizerOrFloat A>
[[nodiscard]] Result<SitePlan> site_plan(const A& quantizer, SiteMode mode) noexcept {
  if constexpr (std::same_as<A, KeepFloat>) {
    return SitePlan{.quantizes = false, .mode = mode};
  } else {
    static_assert(
        requires { quantizer.row_quantizer(); },
        "planish: activations are quantized online by Symmetric or Asymmetric over MinMax, per token, per head or with "
        "one static scale; use clip or static_scale for other ranges");
    if (const Status status = quantizer.validate(); !status) return status;
    if constexpr (std::same_as<typename A::granularity, PerTensor>)
      if (quantizer.static_scale == 0.0f)
        return Status(ErrorCode::unsupported, "one scale per tensor is static: calibrate it and set .static_scale");
    return SitePlan{.quantizer = quantizer.row_quantizer(), .quantizes = true, .mode = mode};
  }
}

}  // namespace detail

/// Where several linears share one input: one online transform T and one activation quantizer A (or KeepFloat). Its
/// QuantizedInput feeds every consumer. Const and shareable; a workspace belongs to one call.
template <QuantizerOrFloat A, TransformStage T, Backend B = DefaultBackend>
class Site {
 public:
  /// Errors: a quantizer whose members are outside their ranges.
  [[nodiscard]] static Result<Site> make(T online, A quantizer = {}, SiteMode mode = SiteMode::packed, B backend = {}) {
    auto plan = detail::site_plan(quantizer, mode);
    if (!plan) return plan.status();
    return Site(std::move(online), *plan, std::move(backend));
  }

  [[nodiscard]] index size() const noexcept { return online_.size(); }
  [[nodiscard]] const T& online() const noexcept { return online_; }

  /// Bytes that prepare needs.
  [[nodiscard]] std::size_t workspace_size(index rows, int workers = 1) const noexcept {
    return detail::prepare_bytes(online_, plan_, rows, workers);
  }

  /// x (rows × size) → `in`, which lies in the workspace and is valid as long as that is. x may have any strides. A row
  /// with NaN or infinity gives `not_finite` and NaN outputs; all other rows are right.
  Status prepare(MatrixView<const float> x, QuantizedInput& in, Workspace& workspace,
                 ExecutorReference executor = {}) const noexcept {
    return detail::prepare(backend_, online_, plan_, x, in, workspace, executor);
  }

#if defined(PLANISH_HAS_EXCEPTIONS)
  /// `prepare` that throws Error.
  [[nodiscard]] QuantizedInput prepare(MatrixView<const float> x, Workspace& workspace,
                                       ExecutorReference executor = {}) const {
    QuantizedInput in;
    throw_if_failed(prepare(x, in, workspace, executor));
    return in;
  }
#endif

  /// "hadamard(576) -> a8 per token, avx512vnni".
  [[nodiscard]] std::string describe() const { return detail::describe_site(online_, plan_, B::name); }

 private:
  Site(T online, const detail::SitePlan& plan, B backend)
      : online_(std::move(online)), plan_(plan), backend_(std::move(backend)) {}

  T online_;
  detail::SitePlan plan_;
  [[no_unique_address]] B backend_;
};

}  // namespace planish::inline PLANISH_ABI
