#include <planish/calibration/methods/outlier_suppression.hpp>
#include <planish/calibration/methods/smooth_quant.hpp>
#include <planish/calibration/methods/weight_clip.hpp>
#include <planish/calibration/rounding/gptq.hpp>
#include <planish/quantizer/mse_shrink.hpp>
#include <planish/quantizer/weight_scheme.hpp>
#include <planish/transform/absorb.hpp>
#include <planish/transform/fold.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/rotation.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>

#include "build.hpp"
#include "site_activations.hpp"
#include "working_matrix.hpp"

namespace llama {
namespace {

constexpr bool mixes_channels(StageKind kind) { return kind != StageKind::shift && kind != StageKind::scale; }

/// True if a shift or scale comes after a stage that mixes channels, so that ranges of the plain input say nothing.
bool measures_mixed_channels(const Recipe& recipe) {
  bool mixed = false;
  for (StageKind kind : recipe.stages) {
    if (mixed && !mixes_channels(kind)) return true;
    mixed = mixed || mixes_channels(kind);
  }
  return mixed && recipe.static_activations;
}

/// A random orthogonal Kronecker stage.
AnyTransform random_kronecker(planish::KroneckerFactors factors, std::uint64_t seed) {
  return AnyTransform(planish::Kronecker(planish::Rotation::random(factors.left, seed),
                                         planish::Rotation::random(factors.right, seed + 1)));
}

class LayerQuantizer {
 public:
  LayerQuantizer(const Config& config, const LayerWeights& weights, const BuildOptions& options,
                 const LayerStatistics* statistics, const FlatQuantParameters* learned, const std::string& where,
                 ExecutorReference executor)
      : config_(config),
        options_(options),
        recipe_(options.recipe),
        statistics_(statistics),
        learned_(learned),
        where_(where),
        executor_(executor),
        attention_gain_(weights.attention_gain.begin(), weights.attention_gain.end()),
        mlp_gain_(weights.mlp_gain.begin(), weights.mlp_gain.end()) {
    for (Projection p : projections) {
      const auto i = static_cast<std::size_t>(p);
      WorkingMatrix& m = matrices_[i];
      m.shape = shape_of(p, config);
      m.weights.assign(weights.matrices[i].begin(), weights.matrices[i].end());
      m.bias.assign(weights.biases[i].begin(), weights.biases[i].end());
      m.bias.resize(static_cast<std::size_t>(m.shape.rows));
      has_bias_[i] = !weights.biases[i].empty() || recipe_.has(StageKind::shift) ||
                     (learned != nullptr && !learned->transform(block_site(site_of(p))).shift.empty());
    }
  }

  [[nodiscard]] BlockParameters run() {
    BlockParameters made;
    transform_cache(made);
    for (SiteKind site : site_kinds) transform_site(site, made.sites[static_cast<std::size_t>(site)]);
    made.attention_gain.assign(attention_gain_.begin(), attention_gain_.end());
    made.mlp_gain.assign(mlp_gain_.begin(), mlp_gain_.end());
    for (Projection p : projections) made.linears[static_cast<std::size_t>(p)] = round(p);
    return made;
  }

 private:
  [[nodiscard]] WorkingMatrix& matrix(Projection p) { return matrices_[static_cast<std::size_t>(p)]; }
  /// Calls `use(projection)` for the matrices that read a site, in order.
  template <class Use>
  static void for_each_matrix(SiteKind site, Use&& use) {
    for (Projection p : projections)
      if (site_of(p) == site) use(p);
  }
  [[nodiscard]] std::string place(std::string_view what) const { return where_ + "." + std::string(what); }

  [[nodiscard]] std::uint64_t seed(std::uint64_t which) const { return options_.seed * 1000003u + which * 16u; }

  /// Keys meet orthogonal or learned stages head by head after RoPE, queries their duals; values through the rows of v.
  void transform_cache(BlockParameters& made) {
    made.cache = {
        .key_bits = recipe_.key_bits, .value_bits = recipe_.value_bits, .integer_attention = recipe_.integer_attention};
    if (learned_ != nullptr) {
      made.cache.key_clip = learned_->key_cache;
      made.cache.value_clip = learned_->value_cache;
    }
    made.key = AnyTransform::identity(config_.head_size);
    if (recipe_.key_bits < 16 || options_.transforms_float_cache)
      for (StageKind kind : recipe_.stages)
        if (mixes_channels(kind)) require(made.key.append(head_stage(kind, seed(8))), place("keys"));
    // Heads are short: only one matrix of all their channels fills the tiles that make bf16 quick.
    const bool rounds = recipe_.bfloat16_transforms && recipe_.has(StageKind::flatquant);
    if (rounds) made.key = require(made.key.in_bfloat16(), place("keys"));
    made.query = made.key.dual();
    if (rounds) made.query = require(made.query.in_bfloat16(), place("queries"));
  }

  [[nodiscard]] AnyTransform head_stage(StageKind kind, std::uint64_t seed) const {
    if (kind == StageKind::kronecker) return random_kronecker(planish::kronecker_factors(config_.head_size), seed);
    if (kind == StageKind::hadamard)
      return AnyTransform(require(planish::Hadamard::make(config_.head_size), place("keys")));
    if (recipe_.key_bits < 16 && learned().key_head.empty())
      throw Error(place("keys") + ": recipe " + to_string(recipe_) +
                  " quantizes keys, but no transform was learned for them");
    return flatquant_keys(learned(), config_, place("keys"));
  }

  [[nodiscard]] const FlatQuantParameters& learned() const {
    if (learned_ == nullptr)
      throw Error("recipe " + to_string(recipe_) +
                  ": the parameters of flatquant come from a file: use --planish FILE");
    return *learned_;
  }

  /// Finds the stages of a site one after the other, folds each into the matrices that read the site, and lets the
  /// producer absorb what it can.
  void transform_site(SiteKind site, SiteParameters& made) {
    const index channels = channels_at(site, config_);
    AnyTransform whole = AnyTransform::identity(channels);
    SiteActivations activations = statistics_ == nullptr
                                      ? SiteActivations(channels)
                                      : SiteActivations((*statistics_)[static_cast<std::size_t>(site)]);
    for (StageKind kind : recipe_.stages) {
      if (kind == StageKind::scale && site == SiteKind::output) continue;  // heads of a group share values
      const AnyTransform stage = in_precision(find_stage(kind, site, activations), site);
      for_each_matrix(site, [&](Projection p) { matrix(p).fold(stage, place(name_of(p)), executor_); });
      activations.advance(stage, mixes_channels(kind));
      require(whole.append(stage.clone()), place(to_string(site)));
    }
    if (recipe_.rounding == Rounding::gptq && statistics_ != nullptr)
      moments_[static_cast<std::size_t>(site)] =
          planish::calibration::transformed_moment(*(*statistics_)[static_cast<std::size_t>(site)].moment, whole);

    if (learned_ != nullptr && recipe_.bits_at(site).weight < 16) clip_weights(site);
    made.online = absorb(site, whole);
    made.quantizers = quantizers_of(site, activations.range);
  }

  /// What runs online, in the recipe's precision; what values take into their rows stays as it is.
  [[nodiscard]] AnyTransform in_precision(AnyTransform stage, SiteKind site) const {
    if (!recipe_.bfloat16_transforms) return stage;
    const std::string where = place(to_string(site));
    if (site != SiteKind::output) return require(stage.in_bfloat16(), where);
    auto split = stage.split(planish::Producer::attention_values, config_.head_size);
    require(split.absorbed.append(require(split.online.in_bfloat16(), where)), where);
    return std::move(split.absorbed);
  }

  /// Clips come after the transform of a matrix's input and before what its consumers give it to absorb. Weights that
  /// stay float are not clipped: only quantization makes up for what that loses.
  void clip_weights(SiteKind site) {
    for_each_matrix(site, [&](Projection p) {
      const auto& rows = learned_->clips_of(block_matrix(p)).weight_rows;
      if (!rows.empty()) require(planish::calibration::clip_rows(matrix(p).view(), rows), place(name_of(p)));
      if (p != Projection::value) take_learned_weights(p);
    });
  }

  /// Weights that were learned, where there are any, in the place of those that were transformed and clipped.
  void take_learned_weights(Projection p) {
    if (learned_ == nullptr) return;
    const auto& weights = learned_->weights_of(block_matrix(p));
    if (!weights.empty()) matrix(p).weights.assign(weights.values.begin(), weights.values.end());
  }

  /// One quantizer for the site, or one per matrix where the learned clips of their inputs differ.
  [[nodiscard]] std::vector<planish::RowQuantizer> quantizers_of(SiteKind site, const ChannelRange& range) const {
    std::vector<planish::RowQuantizer> made;
    for_each_matrix(site, [&](Projection p) {
      planish::RowQuantizer q{.bits = recipe_.bits_at(site).activation};
      if (learned_ != nullptr && q.bits < 16) q.clip = learned_->clips_of(block_matrix(p)).activation;
      if (recipe_.static_activations && q.bits < 16)
        q.static_scale = planish::symmetric_affine(range.whole(), q.clip, q.bits).scale;
      made.push_back(q);
    });
    if (std::all_of(made.begin(), made.end(), [&](const auto& q) { return q == made.front(); })) made.resize(1);
    return made;
  }

  [[nodiscard]] AnyTransform find_stage(StageKind kind, SiteKind site, const SiteActivations& activations) {
    const index channels = channels_at(site, config_);
    const std::string where = place(to_string(site));
    switch (kind) {
      case StageKind::shift:
        return AnyTransform(planish::Shift(require(planish::calibration::midrange(activations.typical_range), where)));
      case StageKind::scale: {
        const auto factors = require(planish::calibration::SmoothQuant{.alpha = options_.alpha}.scale(
                                         activations.range, column_magnitudes(site)),
                                     where);
        return AnyTransform(require(planish::Scale::make(factors), where));
      }
      case StageKind::hadamard:
        return AnyTransform(require(planish::Hadamard::make(channels), where));
      case StageKind::kronecker: {
        // At the input of o the left factor mixes heads and runs online, the right one is the values' own (FlatQuant).
        const planish::KroneckerFactors factors = site == SiteKind::output
                                                      ? planish::KroneckerFactors{config_.heads, config_.head_size}
                                                      : planish::kronecker_factors(channels);
        return random_kronecker(factors, seed(static_cast<std::uint64_t>(site)));
      }
      case StageKind::flatquant:
        return flatquant_transform(learned(), site, config_, where);
    }
    return AnyTransform::identity(channels);
  }

  /// max |W_ij| of every column j over the matrices that read the site.
  [[nodiscard]] std::vector<float> column_magnitudes(SiteKind site) {
    std::vector<float> magnitudes(static_cast<std::size_t>(channels_at(site, config_)));
    for_each_matrix(site, [&](Projection p) { matrix(p).raise_to_column_magnitudes(magnitudes); });
    return magnitudes;
  }

  /// Gives the producer of a site what it can take; what is left runs online.
  [[nodiscard]] AnyTransform absorb(SiteKind site, const AnyTransform& whole) {
    switch (site) {
      case SiteKind::attention:
      case SiteKind::mlp: {
        auto split = whole.split(planish::Producer::norm_gain);
        auto& gain = site == SiteKind::attention ? attention_gain_ : mlp_gain_;
        require(planish::absorb_into_norm(split.absorbed, std::span<double>(gain)), place(to_string(site)));
        return std::move(split.online);
      }
      case SiteKind::down: {
        auto split = whole.split(planish::Producer::gated_product);
        WorkingMatrix& up = matrix(Projection::up);
        require(planish::absorb_into_producer(split.absorbed, up.view(), std::span<double>(up.bias)), place("up"));
        return std::move(split.online);
      }
      case SiteKind::output: {
        auto split = whole.split(planish::Producer::attention_values, config_.head_size);
        WorkingMatrix& value = matrix(Projection::value);
        if (!split.absorbed.is_identity())
          require(planish::absorb_into_values(split.absorbed, config_.head_size, value.view(),
                                              std::span<double>(value.bias)),
                  place("v"));
        take_learned_weights(Projection::value);  // whose codes are of turned rows
        return std::move(split.online);
      }
    }
    return whole.clone();
  }

  [[nodiscard]] LinearParameters round(Projection p) {
    const auto i = static_cast<std::size_t>(p);
    WorkingMatrix& m = matrix(p);
    LinearParameters made;
    if (has_bias_[i]) made.bias.assign(m.bias.begin(), m.bias.end());
    const int bits = recipe_.bits_at(site_of(p)).weight;
    if (bits == 16) {
      made.weights.assign(m.weights.begin(), m.weights.end());
      return made;
    }
    const MatrixView<const double> view = m.view();
    const planish::WeightScheme scheme{.bits = bits, .group_size = recipe_.group_size};
    made.codes = require(recipe_.rounding == Rounding::mse
                             ? planish::quantize_weights(view, scheme, planish::MseShrink{}, {}, executor_)
                             : planish::quantize_weights(view, scheme, planish::MinMax{}, {}, executor_),
                         place(name_of(p)));
    if (recipe_.rounding == Rounding::gptq)
      require(planish::calibration::Gptq{.activation_order = true}.round(
                  view, moments_[static_cast<std::size_t>(site_of(p))], *made.codes, executor_),
              place(name_of(p)));
    return made;
  }

  const Config& config_;
  const BuildOptions& options_;
  const Recipe& recipe_;
  const LayerStatistics* statistics_;
  const FlatQuantParameters* learned_;
  const std::string& where_;
  ExecutorReference executor_;
  std::vector<double> attention_gain_, mlp_gain_;
  std::array<WorkingMatrix, projections.size()> matrices_;
  std::array<bool, projections.size()> has_bias_{};
  std::array<planish::calibration::DoubleMatrix, site_kinds.size()> moments_;
};

}  // namespace

StatisticsDetail detail_for(const Recipe& recipe) {
  return {.rows = measures_mixed_channels(recipe), .moments = recipe.rounding == Rounding::gptq};
}

BlockParameters quantize_layer(const Config& config, const LayerWeights& weights, const BuildOptions& options,
                               const LayerStatistics* statistics, const FlatQuantParameters* learned,
                               const std::string& where, ExecutorReference executor) {
  BlockParameters made = LayerQuantizer(config, weights, options, statistics, learned, where, executor).run();
  made.query_gain = weights.query_gain;
  made.key_gain = weights.key_gain;
  return made;
}

}  // namespace llama
