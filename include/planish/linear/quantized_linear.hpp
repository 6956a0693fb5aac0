#pragma once
#include <string>
#include <utility>

#include <planish/linear/linear_on.hpp>
#include <planish/linear/site.hpp>
#include <planish/quantizer/quantizer.hpp>
#include <planish/transform/fold.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

/// Weights and bias after a transform was folded into them in float64, each cast once.
struct FoldedWeights {
  AlignedBuffer<float> weights;  // out × in
  AlignedBuffer<float> bias;     // out, or none
  index rows = 0, columns = 0;

  [[nodiscard]] MatrixView<const float> view() const noexcept { return {weights.data(), rows, columns}; }
};

template <TransformStage T>
[[nodiscard]] Result<FoldedWeights> fold_weights(const T& transform, MatrixView<const float> w,
                                                 std::span<const float> bias) {
  if (!bias.empty() && static_cast<index>(bias.size()) != w.rows())
    return Status(ErrorCode::shape_mismatch, "a bias of ", bias.size(), " values for ", w.rows(), " rows of weights");
  const index n = w.columns(), block = std::min<index>(w.rows(), 64);
  FoldedWeights folded{{}, {}, w.rows(), n};
  auto weights = AlignedBuffer<float>::make(w.rows() * n), biases = AlignedBuffer<float>::make(w.rows());
  auto rows = AlignedBuffer<double>::make(block * n), offsets = AlignedBuffer<double>::make(block);
  for (const Status& status : {weights.status(), biases.status(), rows.status(), offsets.status()})
    if (!status) return status;
  bool has_bias = !bias.empty();
  for (index first = 0; first < w.rows(); first += block) {
    const index count = std::min(block, w.rows() - first);
    const MatrixView<double> part(rows->data(), count, n);
    for (index r = 0; r < count; ++r) {
      for (index c = 0; c < n; ++c) part(r, c) = static_cast<double>(w(first + r, c));
      (*offsets)[r] = bias.empty() ? 0.0 : static_cast<double>(bias[static_cast<std::size_t>(first + r)]);
    }
    const Status status =
        fold_into_weights(transform, part, std::span<double>(offsets->data(), static_cast<std::size_t>(count)));
    if (!status) return status;
    for (index r = 0; r < count; ++r) {
      for (index c = 0; c < n; ++c) (*weights)[(first + r) * n + c] = static_cast<float>(part(r, c));
      (*biases)[first + r] = static_cast<float>((*offsets)[r]);
      has_bias = has_bias || (*offsets)[r] != 0.0;
    }
  }
  folded.weights = *std::move(weights);
  if (has_bias) folded.bias = *std::move(biases);
  return folded;
}

}  // namespace detail

/// y = x Wᵀ + b as one fused, quantized layer: the transform T runs online and its dual is in the weights, which W
/// quantizes once; A quantizes the transformed rows as they come (KeepFloat in either place leaves that side float32).
/// Const and shareable; a workspace belongs to one call.
template <detail::MustBeWeightQuantizer W, detail::MustBeActivationQuantizer A, detail::MustBeStage T = Identity,
          detail::MustBeBackend B = DefaultBackend>
class QuantizedLinear {
 public:
  /// Folds, quantizes and packs once. weights: out × in; bias: out values or empty. Errors: shapes, NaN or infinity,
  /// quantizer members outside their ranges, policies whose zero points are no codes, out of memory.
  [[nodiscard]] static Result<QuantizedLinear> make(MatrixView<const float> weights, std::span<const float> bias,
                                                    T transform, W weight_quantizer = {}, A activation_quantizer = {},
                                                    B backend = {}) {
    auto folded = detail::fold_weights(transform, weights, bias);
    if (!folded) return folded.status();
    if constexpr (std::same_as<W, KeepFloat>) {
      auto linear = LinearOn<B>::make_float(folded->view(), folded->bias.span(), backend);
      return joined(std::move(linear), std::move(transform), activation_quantizer, backend);
    } else {
      const auto quantized = weight_quantizer.try_quantize(folded->view());
      if (!quantized) return quantized.status();
      const auto codes = quantized->to_codes();
      if (!codes) return codes.status();
      return from_codes(codes->view(), folded->bias.span(), std::move(transform), activation_quantizer, backend);
    }
  }

  /// From codes of weights that the dual of `online` is already in, and a bias with its offset: what a file holds.
  [[nodiscard]] static Result<QuantizedLinear> from_codes(const CodesView& codes, std::span<const float> bias, T online,
                                                          A activation_quantizer = {}, B backend = {}) {
    return joined(LinearOn<B>::make(codes, bias, SiteMode::packed, backend), std::move(online), activation_quantizer,
                  backend);
  }

  [[nodiscard]] index rows() const noexcept { return linear_.rows(); }        ///< output channels
  [[nodiscard]] index columns() const noexcept { return linear_.columns(); }  ///< input channels
  [[nodiscard]] const Site<A, T, B>& site() const noexcept { return site_; }
  [[nodiscard]] const LinearOn<B>& linear() const noexcept { return linear_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return linear_.size_bytes(); }
  [[nodiscard]] double bits_per_weight() const noexcept { return linear_.bits_per_weight(); }

  /// Bytes that forward needs for activations of type E: float, Half or BFloat16.
  template <class E = float>
  [[nodiscard]] std::size_t workspace_size(index rows, int workers = 1) const noexcept {
    return site_.workspace_size(rows, workers) + linear_.template workspace_size<E>(rows, workers);
  }

  /// y = T(x) quantized · W̃ᵀ + b̃ (+ residual, which may be y itself). x: rows × in, any strides; y: rows × out, dense
  /// rows; they must not overlap. A row of x with NaN or infinity gives `not_finite` and a row of NaN in y; all other
  /// rows are right. Errors that write nothing: `shape_mismatch` (of x, y or residual), `unsupported` (rows of y or of
  /// the residual that are not contiguous), `invalid_argument` (overlap, a workspace that is too small). Allocates
  /// nothing.
  Status forward(MatrixView<const float> x, MatrixView<float> y, Workspace workspace, ExecutorReference executor = {},
                 MatrixView<const float> residual = {}) const noexcept {
    return run(x, y, workspace, executor, residual);
  }

  /// The same on activations of 16 bits, in and out: computed in float32, rounded once.
  template <SixteenBitFloat E>
  Status forward(MatrixView<const std::type_identity_t<E>> x, MatrixView<E> y, Workspace workspace,
                 ExecutorReference executor = {},
                 MatrixView<const std::type_identity_t<E>> residual = {}) const noexcept {
    return run(x, y, workspace, executor, residual);
  }

  /// Other elements, for a sentence.
  template <class X, class Y, class... Rest>
  requires(!detail::ActivationsOf<X, Y>) Status forward(MatrixView<X>, MatrixView<Y>, Rest&&...)
  const noexcept {
    static_assert(detail::ActivationsOf<X, Y>,
                  "planish: forward reads and writes views of one type, float, Half or BFloat16; convert others first");
    return {};
  }

  /// The second half of forward, on an input that a site shares among its consumers. y: rows × out. The errors of
  /// forward, and `shape_mismatch` where the input is that of another site.
  Status multiply(const QuantizedInput& in, MatrixView<float> y, ExecutorReference executor = {}) const noexcept {
    return linear_.multiply(in, y, executor);
  }
  Status multiply(const QuantizedInput& in, MatrixView<float> y, Workspace workspace, ExecutorReference executor = {},
                  MatrixView<const float> residual = {}) const noexcept {
    return linear_.multiply(in, y, workspace, executor, residual);
  }

  /// What runs, and why.
  [[nodiscard]] std::string describe() const { return site_.describe() + "; " + linear_.describe(A::bits); }

 private:
  template <class E>
  Status run(MatrixView<const E> x, MatrixView<E> y, Workspace workspace, ExecutorReference executor,
             MatrixView<const E> residual) const noexcept {
    if (may_overlap(x, y)) return Status(ErrorCode::invalid_argument, "the output overlaps the input");
    QuantizedInput in;
    const Status prepared = site_.prepare(x, in, workspace, executor);
    if (!prepared && prepared.code() != ErrorCode::not_finite) return prepared;
    const Status multiplied = linear_.multiply(in, y, workspace, executor, residual);
    return multiplied ? prepared : multiplied;
  }

  QuantizedLinear(Site<A, T, B> site, LinearOn<B> linear) : site_(std::move(site)), linear_(std::move(linear)) {}

  static Result<QuantizedLinear> joined(Result<LinearOn<B>> linear, T online, const A& quantizer, B backend) {
    if (!linear) return linear.status();
    if (online.size() != linear->columns())
      return Status(ErrorCode::shape_mismatch, "the transform has ", online.size(), " channels, the weights ",
                    linear->columns(), " columns");
    auto site = Site<A, T, B>::make(std::move(online), quantizer, SiteMode::packed, std::move(backend));
    if (!site) return site.status();
    return QuantizedLinear(*std::move(site), *std::move(linear));
  }

  Site<A, T, B> site_;
  LinearOn<B> linear_;
};

}  // namespace planish::inline PLANISH_ABI
