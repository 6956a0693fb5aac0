#pragma once
#include <cmath>
#include <string>
#include <vector>

#include <planish/calibration/channel_mean.hpp>
#include <planish/calibration/methods/flatquant/learn_flatquant.hpp>
#include <planish/calibration/methods/flatquant/learned_linear.hpp>
#include <planish/calibration/methods/flatquant/read_out.hpp>
#include <planish/calibration/methods/flatquant/record_loss.hpp>
#include <planish/calibration/tape/split_products.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/transform/dense.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/kronecker_factors.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>
#include <planish/transform/transform.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// What a fit of one site has learned.
struct SiteFit {
  index channels = 0;
  FlatQuantTransform transform;                     ///< shift, scale and factors; empty where there are none
  std::vector<std::vector<ClipPair>> weight_clips;  ///< by layer and row: factors for clip_rows
  std::vector<ClipPair> activation_clips;           ///< one, or one per layer; none where activations stay float
  /// By layer, where weights learned (FlatQuant::weight_epochs): behind the transform and the clips, on their grid;
  /// `quantize_weights` finds their codes. Else empty.
  std::vector<FlatQuantWeights> weights;
  LearnReport report;

  /// What runs online and folds into weights, as stages; a shift of zeros where the fit takes no mean away. Folding a
  /// shift makes a bias of weights that had none. Errors: a scale or factor without an inverse.
  PLANISH_LAZY [[nodiscard]] Result<Transform<Shift, Scale, Kronecker<Dense, Dense>>> stages() const;

  /// The same without the shift. `invalid_argument` for a fit that has one (FlatQuant::centres).
  PLANISH_LAZY [[nodiscard]] Result<Transform<Scale, Kronecker<Dense, Dense>>> linear_stages() const;

 private:
  [[nodiscard]] Result<Kronecker<Dense, Dense>> factors() const;
  [[nodiscard]] Result<Scale> scale() const;
};

namespace detail {

/// Fits one site; float32.
PLANISH_LAZY class SiteLearner {
 public:
  SiteLearner(const FlatQuant& method, MatrixView<const float> x, std::span<const MatrixView<const float>> weights,
              const SiteBitwidths& bits, ExecutorReference executor)
      : method_(method),
        bits_(bits),
        x_(x),
        weights_(weights),
        on_(executor),
        shift_(centre()),
        site_(parameters_, describe(x.columns(), weights.size(), bits), start_scale(), method, method.seed, shift_) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      linears_.emplace_back(parameters_, "layer" + std::to_string(i), weights[i], bits.weights, bits.group_size,
                            method);
      if (!shift_.empty()) biases_.push_back(linears_.back().bias_behind(shift_));
    }
  }

  [[nodiscard]] Result<SiteFit> fit(SiteObjective objective, const std::function<bool(const LearnProgress&)>& on_step) {
    const index rows = std::max<index>(x_.rows(), 1), step = std::min(method_.rows_per_step, rows);
    const index batches = objective == SiteObjective::weight ? 1 : divide_up(rows, step);
    if (method_.products == Products::split_bfloat16)
      if (const Status can = tape::can_split_products(); !can.ok()) return can;
    on_.set_products(method_.products);
    FlatQuant method = method_;
    if (!learns_weights()) method.weight_epochs = 0;
    auto report = learn_flatquant(
        method, batches, parameters_, on_,
        [&](index batch) {
          return objective == SiteObjective::weight
                     ? weight_loss()
                     : layer_loss(batch * step, std::min(step, x_.rows() - batch * step));
        },
        [&] { return begin_weights(), true; },
        [&](const LearnProgress& progress) { return !on_step || on_step(progress); });
    if (!report) return report.status();
    return read_out(*std::move(report));
  }

 private:
  [[nodiscard]] static SiteDescription describe(index channels, std::size_t layers, const SiteBitwidths& bits) {
    const KroneckerFactors factors = kronecker_factors(channels);
    return {.name = "site",
            .left = factors.left,
            .right = factors.right,
            .activation_bits = bits.activations,
            .consumers = static_cast<int>(layers)};
  }

  /// The mean of the input, where it is taken away.
  [[nodiscard]] std::vector<float> centre() const {
    if (!method_.centres || bits_.activations == 16) return {};
    ChannelMean seen(x_.columns());
    throw_if_failed(seen.observe(x_));
    return seen.mean();
  }

  [[nodiscard]] std::vector<float> start_scale() const {
    std::vector<float> scale(static_cast<std::size_t>(x_.columns()));
    for (index c = 0; c < x_.columns(); ++c) {
      float w = 0.0f, x = 0.0f;
      for (const auto& matrix : weights_)
        for (index r = 0; r < matrix.rows(); ++r) w = std::max(w, std::fabs(matrix(r, c)));
      const float z = shift_.empty() ? 0.0f : shift_[static_cast<std::size_t>(c)];
      for (index r = 0; r < x_.rows(); ++r) x = std::max(x, std::fabs(x_(r, c) - z));
      scale[static_cast<std::size_t>(c)] = flatquant_scale(w, x, method_.alpha);
    }
    return scale;
  }

  [[nodiscard]] bool learns_weights() const noexcept { return method_.weight_epochs > 0 && bits_.weights < 16; }

  void begin_weights() {
    record();
    for (auto& m : parameters_.members()) m.learns = false;
    for (std::size_t i = 0; i < linears_.size(); ++i)
      linears_[i].learn_weights(parameters_, "layer" + std::to_string(i), on_, site_);
    on_.clear();
  }

  void record() {
    site_.record(on_);
    quantized_.clear();
    for (auto& linear : linears_) quantized_.push_back(linear.record(on_, site_));
  }

  [[nodiscard]] tape::Variable<float> sum(std::optional<tape::Variable<float>> total, tape::Variable<float> loss) {
    return total ? tape::add(*total, loss) : loss;
  }

  /// Σ over layers of the error of q((x − z) T) q(W T⁻ᵀ)ᵀ + W z against x Wᵀ.
  [[nodiscard]] tape::Variable<float> layer_loss(index first, index count) {
    record();
    const auto x = on_.constant(x_.middle_rows(first, count));
    const auto transformed = site_.transform(x);
    std::optional<tape::Variable<float>> total, shared;
    for (std::size_t i = 0; i < linears_.size(); ++i) {
      if (!shared || site_.clip_pairs() > 1) shared = site_.quantize(transformed, static_cast<int>(i));
      auto y = tape::multiply_transposed(*shared, quantized_[i]);
      if (!biases_.empty())
        y = tape::add_to_rows(y, on_.constant({biases_[i].data(), 1, static_cast<index>(biases_[i].size())}));
      const auto target = tape::multiply_transposed(x, on_.constant(weights_[i]));
      total = sum(total, record_loss(method_, y, target.value()));
    }
    return *total;
  }

  /// Σ over layers of the error of q(W T⁻ᵀ) Tᵀ against W.
  [[nodiscard]] tape::Variable<float> weight_loss() {
    record();
    std::optional<tape::Variable<float>> total;
    for (std::size_t i = 0; i < linears_.size(); ++i)
      total = sum(total, record_loss(method_, site_.turn_weights_back(quantized_[i]), weights_[i]));
    return *total;
  }

  [[nodiscard]] SiteFit read_out(LearnReport report) {
    record();
    SiteFit made;
    made.channels = x_.columns();
    made.transform.shift = shift_;
    if (site_.scale()) made.transform.scale = values_of(*site_.scale());
    made.transform.left = pair_of(site_.left());
    made.transform.right = pair_of(site_.right());
    for (const auto& linear : linears_)
      made.weight_clips.push_back(linear.clip() ? clips_of(*linear.clip()) : std::vector<ClipPair>{});
    if (learns_weights())
      for (const auto w : quantized_) made.weights.push_back({w.rows(), w.columns(), values_of(w)});
    for (const auto& clip : site_.clips()) made.activation_clips.push_back(clips_of(clip).front());
    made.report = std::move(report);
    on_.clear();
    return made;
  }

  const FlatQuant& method_;
  SiteBitwidths bits_;
  MatrixView<const float> x_;
  std::span<const MatrixView<const float>> weights_;
  tape::Tape<float> on_;
  std::vector<float> shift_;                // z, or none
  std::vector<std::vector<float>> biases_;  // W z, by layer
  ParameterSet<float> parameters_;
  LearnedSite<float> site_;
  std::vector<LearnedLinear<float>> linears_;
  std::vector<tape::Variable<float>> quantized_;  // of the step, by layer
};

}  // namespace detail

inline Result<Kronecker<Dense, Dense>> SiteFit::factors() const {
  const auto factor = [](const MatrixPair& pair, index n) {
    std::vector<float> identity(static_cast<std::size_t>(n * n));
    for (index i = 0; i < n; ++i) identity[static_cast<std::size_t>(i * n + i)] = 1.0f;
    return pair.empty() ? Dense::make(identity, n) : Dense::make(pair.matrix, pair.inverse_transpose, n);
  };
  const KroneckerFactors sizes = kronecker_factors(channels);
  auto left = factor(transform.left, sizes.left);
  if (!left) return left.status();
  auto right = factor(transform.right, sizes.right);
  if (!right) return right.status();
  return Kronecker(*std::move(left), *std::move(right));
}

inline Result<Scale> SiteFit::scale() const {
  return Scale::make(transform.scale.empty() ? std::vector<float>(static_cast<std::size_t>(channels), 1.0f)
                                             : transform.scale);
}

template <int>
Result<Transform<Shift, Scale, Kronecker<Dense, Dense>>> SiteFit::stages() const {
  auto shift =
      Shift::make(transform.shift.empty() ? std::vector<float>(static_cast<std::size_t>(channels)) : transform.shift);
  if (!shift) return shift.status();
  auto diagonal = scale();
  if (!diagonal) return diagonal.status();
  auto behind = factors();
  if (!behind) return behind.status();
  return Transform<Shift, Scale, Kronecker<Dense, Dense>>(*std::move(shift), *std::move(diagonal), *std::move(behind));
}

template <int>
Result<Transform<Scale, Kronecker<Dense, Dense>>> SiteFit::linear_stages() const {
  if (!transform.shift.empty())
    return Status(ErrorCode::invalid_argument,
                  "this fit takes the mean of its input away, which is not linear: use "
                  "stages(), or learn with FlatQuant::centres off");
  auto diagonal = scale();
  if (!diagonal) return diagonal.status();
  auto behind = factors();
  if (!behind) return behind.status();
  return Transform<Scale, Kronecker<Dense, Dense>>(*std::move(diagonal), *std::move(behind));
}

template <int>
Result<SiteFit> FlatQuant::fit(MatrixView<const float> x, std::span<const MatrixView<const float>> weights,
                               const SiteBitwidths& bits, SiteObjective objective, ExecutorReference executor,
                               const std::function<bool(const LearnProgress&)>& on_step) const {
  if (x.rows() == 0 || x.columns() == 0 || weights.empty())
    return Status(ErrorCode::invalid_argument, "a fit takes at least one row of input and one matrix of weights");
  if (!is_code_width(bits.weights) && bits.weights != 16)
    return Status(ErrorCode::invalid_argument, "weights of ", bits.weights, " bits; 2 to 8, or 16 for float");
  if (!is_code_width(bits.activations) && bits.activations != 16)
    return Status(ErrorCode::invalid_argument, "activations of ", bits.activations, " bits; 2 to 8, or 16 for float");
  for (const auto& w : weights)
    if (w.columns() != x.columns())
      return Status(ErrorCode::shape_mismatch, "weights of ", w.columns(), " columns read an input of ", x.columns());
  try {
    return detail::SiteLearner<>(*this, x, weights, bits, executor).fit(objective, on_step);
  } catch (const Error& error) {
    return Status(error.code(), std::string_view(error.what()));
  }
}

}  // namespace planish::inline PLANISH_ABI::calibration
