#include "build.hpp"

#include <cmath>

#include <planish/calibration/methods/outlier_suppression.hpp>
#include <planish/calibration/methods/smooth_quant.hpp>
#include <planish/calibration/rounding/gptq.hpp>
#include <planish/quantizer/mse_shrink.hpp>
#include <planish/quantizer/weight_scheme.hpp>
#include <planish/transform/fold.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/rotation.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>

#include "site_activations.hpp"

namespace llama {
namespace {

constexpr bool mixes_channels(StageKind kind) { return kind == StageKind::hadamard || kind == StageKind::kronecker; }

/// True if a shift or scale comes after a stage that mixes channels, so that ranges of the plain input say nothing.
bool measures_mixed_channels(const Recipe& recipe) {
  bool mixed = false;
  for (StageKind kind : recipe.stages) {
    if (mixed && !mixes_channels(kind)) return true;
    mixed = mixed || mixes_channels(kind);
  }
  return mixed && recipe.static_activations;
}

/// A matrix on its way to codes, in float64.
struct WorkingMatrix {
  std::vector<double> weights;  // out × in
  std::vector<double> bias;     // out
  MatrixShape shape;

  [[nodiscard]] MatrixView<double> view() { return {weights.data(), shape.rows, shape.columns}; }
};

/// A random orthogonal Kronecker stage.
AnyTransform random_kronecker(planish::KroneckerFactors factors, std::uint64_t seed) {
  return AnyTransform(planish::Kronecker(planish::Rotation::random(factors.left, seed),
                                         planish::Rotation::random(factors.right, seed + 1)));
}

class LayerQuantizer {
 public:
  LayerQuantizer(const Config& config, const LayerWeights& weights, const BuildOptions& options,
                 const LayerStatistics* statistics, const std::string& where, ExecutorReference executor)
      : config_(config),
        options_(options),
        recipe_(options.recipe),
        statistics_(statistics),
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
      has_bias_[i] = !weights.biases[i].empty() || recipe_.has(StageKind::shift);
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
  [[nodiscard]] std::string place(std::string_view what) const { return where_ + "." + std::string(what); }

  [[nodiscard]] std::uint64_t seed(std::uint64_t which) const { return options_.seed * 1000003u + which * 16u; }

  /// Keys meet orthogonal stages head by head after RoPE, queries their duals; values through the rows of v.
  void transform_cache(BlockParameters& made) {
    made.cache = {.key_bits = recipe_.key_bits, .value_bits = recipe_.value_bits};
    made.key = AnyTransform::identity(config_.head_size);
    if (recipe_.key_bits < 16 || options_.transforms_float_cache)
      for (StageKind kind : recipe_.stages)
        if (mixes_channels(kind)) require(made.key.append(head_stage(kind, seed(8))), place("keys"));
    made.query = made.key.dual();
  }

  [[nodiscard]] AnyTransform head_stage(StageKind kind, std::uint64_t seed) const {
    if (kind == StageKind::kronecker) return random_kronecker(planish::kronecker_factors(config_.head_size), seed);
    return AnyTransform(require(planish::Hadamard::make(config_.head_size), place("keys")));
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
      const AnyTransform stage = find_stage(kind, site, activations);
      fold(stage, site);
      activations.advance(stage, mixes_channels(kind));
      require(whole.append(stage.clone()), place(to_string(site)));
    }
    if (recipe_.rounding == Rounding::gptq && statistics_ != nullptr)
      moments_[static_cast<std::size_t>(site)] =
          planish::calibration::transformed_moment(*(*statistics_)[static_cast<std::size_t>(site)].moment, whole);

    made.online = absorb(site, whole);
    made.quantizer = {.bits = recipe_.bits_at(site).activation};
    if (recipe_.static_activations && made.quantizer.bits < 16)
      made.quantizer.static_scale = planish::symmetric_affine(activations.range.whole(), {}, made.quantizer.bits).scale;
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
        break;
    }
    throw Error("recipe " + to_string(recipe_) + ": the parameters of " + std::string(to_string(kind)) +
                " come from an artefact: use --planish FILE");
  }

  /// max |W_ij| of every column j over the matrices that read the site.
  [[nodiscard]] std::vector<float> column_magnitudes(SiteKind site) {
    std::vector<float> magnitudes(static_cast<std::size_t>(channels_at(site, config_)));
    for (Projection p : projections)
      if (site_of(p) == site)
        for (std::size_t i = 0; i < matrix(p).weights.size(); ++i) {
          float& magnitude = magnitudes[i % magnitudes.size()];
          magnitude = std::max(magnitude, static_cast<float>(std::fabs(matrix(p).weights[i])));
        }
    return magnitudes;
  }

  void fold(const AnyTransform& stage, SiteKind site) {
    for (Projection p : projections) {
      if (site_of(p) != site) continue;
      WorkingMatrix& m = matrix(p);
      const int tasks = static_cast<int>(std::min<index>(m.shape.rows, 4 * executor_.workers()));
      std::vector<planish::Status> statuses(static_cast<std::size_t>(tasks));
      executor_.run(tasks, [&](int task, int) {
        const planish::Range range = planish::part_of(m.shape.rows, task, tasks);
        const index count = range.end - range.begin;
        statuses[static_cast<std::size_t>(task)] = stage.fold_into_weights(
            m.view().middle_rows(range.begin, count),
            std::span<double>(m.bias).subspan(static_cast<std::size_t>(range.begin), static_cast<std::size_t>(count)));
      });
      for (const planish::Status& status : statuses) require(status, place(name_of(p)));
    }
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
        absorb_into_values(split.absorbed);
        return std::move(split.online);
      }
    }
    return whole.clone();
  }

  /// The values of a KV head are read by every query head of its group: v is spread over the query heads, transformed,
  /// and gathered again.
  void absorb_into_values(const AnyTransform& absorbed) {
    if (absorbed.is_identity()) return;
    WorkingMatrix& value = matrix(Projection::value);
    const index size = config_.head_size, group = config_.heads / config_.kv_heads, columns = value.shape.columns;
    const auto source_row = [&](index row) { return row / size / group * size + row % size; };
    std::vector<double> spread, bias;
    for (index row = 0; row < config_.query_size(); ++row) {
      const double* from = value.view().row(source_row(row));
      spread.insert(spread.end(), from, from + columns);
      bias.push_back(value.bias[static_cast<std::size_t>(source_row(row))]);
    }
    const MatrixView<double> view(spread.data(), config_.query_size(), columns);
    require(planish::absorb_into_producer(absorbed, view, std::span<double>(bias)), place("v"));
    for (index row = 0; row < config_.query_size(); ++row) {
      std::copy_n(view.row(row), columns, value.view().row(source_row(row)));
      value.bias[static_cast<std::size_t>(source_row(row))] = bias[static_cast<std::size_t>(row)];
    }
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
                               const LayerStatistics* statistics, const std::string& where,
                               ExecutorReference executor) {
  return LayerQuantizer(config, weights, options, statistics, where, executor).run();
}

BlockParameters build_layer(const WeightSource& source, index layer, const BuildOptions& options,
                            const StatisticsOf& statistics, ExecutorReference executor) {
  const LayerWeights weights = read_layer(source, layer);
  if (options.recipe.is_float()) return float_parameters(source.config(), weights);
  std::optional<LayerStatistics> seen;
  if (options.recipe.needs_statistics()) seen = statistics(layer, weights);
  const std::string where = source.path() + ": layer " + std::to_string(layer);
  return quantize_layer(source.config(), weights, options, seen ? &*seen : nullptr, where, executor);
}

Model build_model(std::shared_ptr<const WeightSource> source, const BuildOptions& options,
                  const StatisticsOf& statistics, ExecutorReference executor, planish::SiteMode mode) {
  const Config& config = source->config();
  std::vector<Block> blocks;
  for (index layer = 0; layer < config.layers; ++layer)
    blocks.emplace_back(config, build_layer(*source, layer, options, statistics, executor), mode,
                        source->path() + ": layer " + std::to_string(layer));
  auto norm = source->read("norm", {1, config.hidden_size});
  auto head = std::make_shared<const Head>(*source, 16);
  return Model(std::move(source), std::move(blocks), std::move(norm), std::move(head));
}

}  // namespace llama
