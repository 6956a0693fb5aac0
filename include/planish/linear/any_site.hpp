#pragma once
#include <span>
#include <string>
#include <utility>

#include <planish/linear/any_transform.hpp>
#include <planish/linear/describe.hpp>
#include <planish/linear/prepare.hpp>

namespace planish::inline PLANISH_ABI {

/// Site whose transform and quantizers are known at run time. Const and shareable.
class AnySite {
 public:
  /// `quantizer.bits` 16 leaves activations float. `fake` gives consumers the float values of the codes instead of the
  /// codes. Errors: a width, clip or static scale outside its range.
  PLANISH_LAZY [[nodiscard]] static Result<AnySite> make(AnyTransform online, const RowQuantizer& quantizer,
                                                         SiteMode mode = SiteMode::packed) {
    return make(std::move(online), std::span<const RowQuantizer>(&quantizer, 1), mode);
  }

  /// Consumers with quantizers of their own, at most most_site_quantizers: equal ones share a quantized input. Errors:
  /// the same, and too many or none.
  PLANISH_LAZY [[nodiscard]] static Result<AnySite> make(AnyTransform online, std::span<const RowQuantizer> quantizers,
                                                         SiteMode mode = SiteMode::packed) {
    const auto plan = detail::SitePlan::make(quantizers, mode);
    if (!plan) return plan.status();
    return AnySite(std::move(online), *plan);
  }

  [[nodiscard]] index size() const noexcept { return online_.size(); }
  [[nodiscard]] const AnyTransform& online() const noexcept { return online_; }
  /// Quantized inputs that prepare makes: one per distinct quantizer.
  [[nodiscard]] int inputs() const noexcept { return plan_.inputs(); }
  [[nodiscard]] const RowQuantizer& quantizer(std::size_t consumer = 0) const noexcept {
    return plan_.quantizer(plan_.input_of(consumer));
  }
  [[nodiscard]] SiteMode mode() const noexcept { return plan_.mode(); }

  /// Bytes that prepare needs.
  PLANISH_LAZY [[nodiscard]] std::size_t workspace_size(index rows, int workers = 1) const noexcept {
    return detail::prepare_bytes(online_, plan_, rows, workers);
  }

  /// x (rows × size) → `in`, which lies in the workspace and is valid as long as that is (and x, where activations stay
  /// float and nothing runs online). x may have any strides. A row with NaN or infinity gives `not_finite`, naming the
  /// first, and NaN outputs; all other rows are right.
  PLANISH_LAZY Status prepare(MatrixView<const float> x, QuantizedInput& in, Workspace& workspace,
                              ExecutorReference executor = {}) const noexcept {
    return prepare(x, std::span<QuantizedInput>(&in, 1), workspace, executor);
  }

  /// The same for each consumer: in[i] is what consumer i reads. As many as the site has quantizers, or any number
  /// where those are equal. The transform runs once, and each distinct quantizer once.
  PLANISH_LAZY Status prepare(MatrixView<const float> x, std::span<QuantizedInput> in, Workspace& workspace,
                              ExecutorReference executor = {}) const noexcept {
    return detail::prepare(DefaultBackend{}, online_, plan_, detail::MatrixRows<float>{x}, in, workspace, executor);
  }

  /// The same for rows that are made tile by tile where they are read: RmsNormRows, SwigluRows or the host's own. They
  /// are made once, whatever reads them.
  template <ProducedRows P>
  Status prepare(const P& produced, std::span<QuantizedInput> in, Workspace& workspace,
                 ExecutorReference executor = {}) const noexcept {
    return detail::prepare(DefaultBackend{}, online_, plan_, detail::FilledRows<P>{produced}, in, workspace, executor);
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
    return detail::prepare(DefaultBackend{}, online_, plan_, detail::MatrixRows<std::remove_const_t<E>>{x}, in,
                           workspace, executor);
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

  /// "hadamard(576) -> a8 per token, symmetric: int8 codes, avx512vnni".
  PLANISH_LAZY [[nodiscard]] std::string describe() const {
    return detail::describe_site(online_, plan_, DefaultBackend::name);
  }

 private:
  AnySite(AnyTransform online, const detail::SitePlan& plan) : online_(std::move(online)), plan_(plan) {}

  AnyTransform online_;
  detail::SitePlan plan_;
};

}  // namespace planish::inline PLANISH_ABI
