#pragma once
#include <array>
#include <span>
#include <string>
#include <utility>

#include <planish/backend/default.hpp>
#include <planish/linear/describe.hpp>
#include <planish/linear/prepare.hpp>
#include <planish/quantizer/quantizer.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

/// How a site quantizes rows by A. Errors: what A's members say, and a scale per tensor that is not static.
template <QuantizerOrFloat A>
[[nodiscard]] Result<RowQuantizer> row_quantizer(const A& quantizer) noexcept {
  if constexpr (std::same_as<A, KeepFloat>) {
    return RowQuantizer{.bits = 16};
  } else {
    if (const Status status = quantizer.validate(); !status) return status;
    if constexpr (std::same_as<typename A::granularity, PerTensor>)
      if (quantizer.static_scale == 0.0f)
        return Status(ErrorCode::unsupported, "one scale per tensor is static: calibrate it and set .static_scale");
    return quantizer.row_quantizer();
  }
}

template <QuantizerOrFloat A>
[[nodiscard]] Result<SitePlan> site_plan(std::span<const A> quantizers, SiteMode mode) noexcept {
  if (const Status status = SitePlan::check_count(quantizers.size()); !status) return status;
  std::array<RowQuantizer, most_site_quantizers> rows{};
  for (std::size_t i = 0; i < quantizers.size(); ++i) {
    const auto q = row_quantizer(quantizers[i]);
    if (!q) return q.status();
    rows[i] = *q;
  }
  return SitePlan::make(std::span<const RowQuantizer>(rows.data(), quantizers.size()), mode);
}

}  // namespace detail

/// Where several linears share one input: one online transform T and one activation quantizer A (or KeepFloat), whose
/// QuantizedInput feeds every consumer; or quantizers of the consumers' own behind the one transform. Const and
/// shareable; a workspace belongs to one call.
template <detail::MustBeActivationQuantizer A, detail::MustBeStage T, detail::MustBeBackend B = DefaultBackend>
class Site {
 public:
  /// Errors: a quantizer whose members are outside their ranges.
  [[nodiscard]] static Result<Site> make(T online, A quantizer = {}, SiteMode mode = SiteMode::packed, B backend = {}) {
    return make(std::move(online), std::span<const A>(&quantizer, 1), mode, std::move(backend));
  }

  /// Consumers with quantizers of their own, at most most_site_quantizers: equal ones share a quantized input. Errors:
  /// the same, and too many or none.
  [[nodiscard]] static Result<Site> make(T online, std::span<const A> quantizers, SiteMode mode = SiteMode::packed,
                                         B backend = {}) {
    auto plan = detail::site_plan(quantizers, mode);
    if (!plan) return plan.status();
    return Site(std::move(online), *plan, std::move(backend));
  }

  [[nodiscard]] index size() const noexcept { return online_.size(); }
  [[nodiscard]] const T& online() const noexcept { return online_; }
  /// Quantized inputs that prepare makes: one per distinct quantizer.
  [[nodiscard]] int inputs() const noexcept { return plan_.inputs(); }

  /// Bytes that prepare needs.
  [[nodiscard]] std::size_t workspace_size(index rows, int workers = 1) const noexcept {
    return detail::prepare_bytes(online_, plan_, rows, workers);
  }

  /// x (rows × size) → `in`, which lies in the workspace and is valid as long as that is. x may have any strides. A row
  /// with NaN or infinity gives `not_finite` and NaN outputs; all other rows are right. Errors that make nothing:
  /// `shape_mismatch` (columns of x), `invalid_argument` (a workspace that is too small).
  Status prepare(MatrixView<const float> x, QuantizedInput& in, Workspace& workspace,
                 ExecutorReference executor = {}) const noexcept {
    return prepare(x, std::span<QuantizedInput>(&in, 1), workspace, executor);
  }

  /// The same for each consumer: in[i] is what consumer i reads. As many as the site has quantizers, or any number
  /// where those are equal. The transform runs once, and each distinct quantizer once.
  Status prepare(MatrixView<const float> x, std::span<QuantizedInput> in, Workspace& workspace,
                 ExecutorReference executor = {}) const noexcept {
    return detail::prepare(backend_, online_, plan_, detail::MatrixRows<float>{x}, in, workspace, executor);
  }

  /// The same for rows that are made tile by tile where they are read: RmsNormRows, SwigluRows or the host's own. They
  /// are made once, whatever reads them.
  template <ProducedRows P>
  Status prepare(const P& produced, std::span<QuantizedInput> in, Workspace& workspace,
                 ExecutorReference executor = {}) const noexcept {
    return detail::prepare(backend_, online_, plan_, detail::FilledRows<P>{produced}, in, workspace, executor);
  }
  template <ProducedRows P>
  Status prepare(const P& produced, QuantizedInput& in, Workspace& workspace,
                 ExecutorReference executor = {}) const noexcept {
    return prepare(produced, std::span<QuantizedInput>(&in, 1), workspace, executor);
  }

  /// The same for activations of 16 bits, which widen to float32 tile by tile.
  template <class E>
  requires SixteenBitFloat<std::remove_const_t<E>> Status prepare(MatrixView<E> x, std::span<QuantizedInput> in,
                                                                  Workspace& workspace, ExecutorReference executor = {})
  const noexcept {
    return detail::prepare(backend_, online_, plan_, detail::MatrixRows<std::remove_const_t<E>>{x}, in, workspace,
                           executor);
  }
  template <class E>
  requires SixteenBitFloat<std::remove_const_t<E>> Status prepare(MatrixView<E> x, QuantizedInput& in,
                                                                  Workspace& workspace, ExecutorReference executor = {})
  const noexcept { return prepare(x, std::span<QuantizedInput>(&in, 1), workspace, executor); }

  /// Anything else, for a sentence.
  template <class X, class In>
  requires(!detail::SiteInput<std::remove_reference_t<X>>) Status prepare(X&&, In&&, Workspace&, ExecutorReference = {})
  const noexcept {
    static_assert(detail::MustBeSiteInput<std::remove_cvref_t<X>>);
    return {};
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
