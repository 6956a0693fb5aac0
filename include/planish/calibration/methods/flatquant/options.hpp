#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <span>

#include <planish/calibration/optimizer/learn.hpp>
#include <planish/calibration/tape/products.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// How a factor P of a transform is made of free numbers.
enum class FactorForm : std::uint8_t {
  free,  ///< P = F(I + D): F fixed and orthogonal, D free; one explicit inverse per step
  svd,   ///< P = F U diag(s) Vᵀ with U and V orthogonal by the Cayley map (the published form has F = I)
};

/// Where a factor starts.
enum class FactorStart : std::uint8_t {
  hadamard,  ///< random signs times Hadamard; a Haar rotation where no Hadamard matrix of the order is known
  haar,      ///< a Haar rotation
  cayley,    ///< Cayley of the skew part of a Haar rotation's lower triangle: the published start, a partial rotation
  identity,
};

/// How a positive scale is made of a free number.
enum class ScaleForm : std::uint8_t {
  linear,       ///< unguarded, as published: may reach zero or change sign
  exponential,  ///< eˣ
  softplus,     ///< log(1 + eˣ)
};

/// How an error is measured.
enum class Loss : std::uint8_t { mean_squared_error, mean_absolute_error, huber };

using tape::Products;

/// What a fit of one site makes small.
enum class SiteObjective : std::uint8_t {
  weight,  ///< the distance of the quantized weights, turned back, from the weights
  layer,   ///< the distance of the outputs of the site's layers from the float ones
};

/// How one site is quantized.
struct SiteBitwidths {
  int weights = 4;
  int activations = 4;   ///< 16: they stay float
  index group_size = 0;  ///< columns of a weight row that share a scale; 0: the whole row
};

struct SiteFit;
class SecondMoment;

namespace detail {
template <class X, class Weights>
concept SiteToFit =
    (std::same_as<X, SecondMoment> || std::convertible_to<const X&, MatrixView<const float>>)&&std::convertible_to<
        const Weights&, std::span<const MatrixView<const float>>>;
}  // namespace detail

/// Learns transforms and clips (FlatQuant, arXiv 2410.09426) for a block or for one site of a network. The defaults are
/// planish's own, chosen by measurement; `published()` is the paper's recipe. Every choice is an option on its own.
struct FlatQuant {
  int epochs = 15;
  index batch = 1;            ///< windows per step, of a block
  index rows_per_step = 512;  ///< of a site's input, for a fit of one site
  double learning_rate = 1e-2;
  double clip_rate_factor = 10.0;  ///< clips move this much faster than transforms
  double last_rate_share = 1e-3;   ///< of the learning rate, at the end of the cosine
  AdamWOptions adamw{};

  int weight_epochs = 0;      ///< passes behind the others in which the weights learn, transforms fixed; 0: none
  double weight_rate = 8e-3;  ///< learning rate of those passes, in steps of a row's grid

  bool learns_transform = true;  ///< Kronecker factors; off: the identity
  bool learns_scale = true;      ///< the diagonal in front of them; off: ones
  bool learns_clip = true;       ///< weight, activation and cache clips; off: whole ranges

  /// Inputs that are quantized lose the mean of their channels, which no linear transform takes away, in front of
  /// everything; its product with the weights is a bias.
  bool centres = true;

  FactorForm factor_form = FactorForm::free;
  FactorStart factor_start = FactorStart::hadamard;
  ScaleForm scale_form = ScaleForm::exponential;
  double alpha = 0.3;       ///< of the scale's start, max|W|^(1−α) / max|X|^α
  double clip_logit = 4.0;  ///< start of every clip: σ(4) = 0.982
  bool shared_clip = true;  ///< one activation clip pair per site; off: a pair per consumer, as published

  bool rounds = true;  ///< false: only clips act (FakeQuantizer); for checks of gradients

  Loss loss = Loss::huber;
  double huber_factor = 3.0;  ///< δ = factor × mean absolute error
  Products products = Products::float32;
  std::uint64_t seed = 1;
  int retries = 3;  ///< after a loss that is not finite, each at half the learning rate

  /// The paper's recipe: four windows a step, 5e-3, inputs as they are, SVD form from the Cayley start, unguarded
  /// scales, squared error, a clip pair per linear layer.
  [[nodiscard]] static FlatQuant published() {
    FlatQuant method;
    method.batch = 4;
    method.learning_rate = 5e-3;
    method.factor_form = FactorForm::svd;
    method.factor_start = FactorStart::cayley;
    method.scale_form = ScaleForm::linear;
    method.centres = false;
    method.shared_clip = false;
    method.loss = Loss::mean_squared_error;
    return method;
  }

  /// Learns one site of a network from nothing but its input x (rows × n) and the weights (out × n each) of the layers
  /// that read it; include fit.hpp. Of a block, see LearnedSite and LearnedLinear. `on_step` returns false to stop.
  /// Errors: shape_mismatch, invalid_argument, not_finite (input, or learning that diverges), singular, unsupported
  /// (products that this machine does not have).
  PLANISH_LAZY [[nodiscard]] Result<SiteFit> fit(MatrixView<const float> x,
                                                 std::span<const MatrixView<const float>> weights,
                                                 const SiteBitwidths& bits,
                                                 SiteObjective objective = SiteObjective::layer,
                                                 ExecutorReference executor = {},
                                                 const std::function<bool(const LearnProgress&)>& on_step = {}) const;

  /// The same where activations stay float, from E[xᵀx] of the input alone: the squared error of the layers' outputs,
  /// whatever `loss` says; include fit_moment.hpp. Errors: those of `fit`; a moment of no rows.
  PLANISH_LAZY [[nodiscard]] Result<SiteFit> fit(const SecondMoment& moment,
                                                 std::span<const MatrixView<const float>> weights,
                                                 const SiteBitwidths& bits, ExecutorReference executor = {},
                                                 const std::function<bool(const LearnProgress&)>& on_step = {}) const;

  /// Anything else, for a sentence.
  template <class X, class Weights, class... Rest>
  requires(!detail::SiteToFit<X, Weights>) auto fit(const X&, const Weights&, const SiteBitwidths&, Rest&&...) const {
    static_assert(detail::SiteToFit<X, Weights>,
                  "planish: fit takes the input as a view of float or a SecondMoment, and the weights as a span, array "
                  "or vector of MatrixView<const float>");
    return Status();
  }
};

}  // namespace planish::inline PLANISH_ABI::calibration
