#include "site_profile.hpp"

#include <planish/calibration/methods/weight_clip.hpp>
#include <planish/transform/hadamard.hpp>

#include "../build.hpp"
#include "../working_matrix.hpp"
#include "channel_figures.hpp"
#include "site_outputs.hpp"
#include "tape_block.hpp"

namespace llama {
namespace {

constexpr index most_tokens = 2048;

/// What the float block feeds its sites, and its keys after RoPE, as rows.
struct SeenRows {
  std::array<std::vector<float>, site_kinds.size()> sites;
  std::vector<float> keys;

  [[nodiscard]] const std::vector<float>& site(SiteKind kind) const { return sites[static_cast<std::size_t>(kind)]; }
};

void append(std::vector<float>& rows, MatrixView<const float> x) {
  rows.insert(rows.end(), x.data(), x.data() + x.size());
}

/// The float model, with a look at its keys.
struct ProfileHooks : FloatHooks<float> {
  std::vector<float>* keys;

  [[nodiscard]] tape::Variable<float> key(tape::Variable<float> x) const {
    append(*keys, x.value());
    return x;
  }
};

SeenRows see_block(const Config& config, const LayerWeights& weights, MatrixView<const float> inputs, index window,
                   ExecutorReference executor) {
  SeenRows seen;
  const TapeWeights<float> matrices(config, weights);
  const ProfileHooks hooks{
      {&matrices,
       [&seen](SiteKind kind, MatrixView<const float> x) { append(seen.sites[static_cast<std::size_t>(kind)], x); }},
      &seen.keys};
  tape::Tape<float> tape(executor);
  const tape::RotaryTable<float> rotary(window, config.rotary_frequencies);
  const BlockGraph<float> graph(config, matrices, rotary, window);
  for (index first = 0; first < inputs.rows(); first += window) {
    (void)graph.forward(hooks, tape.constant(inputs.middle_rows(first, window)));
    tape.clear();
  }
  return seen;
}

class BlockProfiler {
 public:
  BlockProfiler(const Config& config, const LayerWeights& weights, const Recipe& recipe,
                const FlatQuantParameters& learned, const SeenRows& seen, const std::string& where,
                ExecutorReference executor)
      : config_(config),
        weights_(weights),
        recipe_(recipe),
        learned_(learned),
        seen_(seen),
        where_(where),
        executor_(executor) {}

  [[nodiscard]] BlockProfile run() {
    BlockProfile made;
    made.tokens = static_cast<index>(seen_.site(SiteKind::attention).size()) / config_.hidden_size;
    for (SiteKind kind : site_kinds) {
      SiteProfile& site = made.sites[static_cast<std::size_t>(kind)];
      const AnyTransform transform = flatquant_transform(learned_, kind, config_, where_);
      measure_rows(seen_.site(kind), transform, site);
      site.weights = weights_of(kind, transform, made.clips);
    }
    measure_errors(made);
    if (recipe_.key_bits < 16) made.keys = keys();
    made.key_clip = learned_.key_cache;
    made.value_clip = learned_.value_cache;
    return made;
  }

 private:
  static void measure_rows(const std::vector<float>& rows, const AnyTransform& transform, SiteProfile& site) {
    const index n = transform.size(), count = static_cast<index>(rows.size()) / n;
    const std::vector<float> turned = rows_after(transform, rows);
    const MatrixView<const float> before(rows.data(), count, n), after(turned.data(), count, n);
    site.activations = {column_magnitudes(before), column_magnitudes(after)};
    site.kurtosis_before = mean_row_kurtosis(before);
    site.kurtosis_after = mean_row_kurtosis(after);
  }

  [[nodiscard]] static std::vector<double> row_magnitudes(const WorkingMatrix& m) {
    std::vector<double> largest(static_cast<std::size_t>(m.shape.rows));
    for (std::size_t i = 0; i < m.weights.size(); ++i) {
      double& row = largest[i / static_cast<std::size_t>(m.shape.columns)];
      row = std::max(row, std::fabs(m.weights[i]));
    }
    return largest;
  }

  /// Channels of the matrices that read a site before and after they took the transform's dual, and what clips leave
  /// of their rows.
  [[nodiscard]] Flattening weights_of(SiteKind kind, const AnyTransform& transform,
                                      std::array<MatrixClips, projections.size()>& clips) const {
    const auto n = static_cast<std::size_t>(transform.size());
    Flattening made{std::vector<float>(n), std::vector<float>(n)};
    for (Projection p : projections) {
      if (site_of(p) != kind) continue;
      WorkingMatrix m;
      m.shape = shape_of(p, config_);
      const std::vector<float>& values = weights_.matrices[static_cast<std::size_t>(p)];
      m.weights.assign(values.begin(), values.end());
      m.bias.resize(static_cast<std::size_t>(m.shape.rows));
      m.raise_to_column_magnitudes(made.before);
      m.fold(transform, where_ + "." + std::string(name_of(p)), executor_);
      m.raise_to_column_magnitudes(made.after);
      MatrixClips& clip = clips[static_cast<std::size_t>(p)];
      clip.rows = m.shape.rows;
      if (recipe_.bits_at(kind).activation < 16) clip.activation = learned_.clips_of(block_matrix(p)).activation;
      const auto& rows = learned_.clips_of(block_matrix(p)).weight_rows;
      if (rows.empty() || recipe_.bits_at(kind).weight == 16) continue;
      const std::vector<double> whole = row_magnitudes(m);
      require(planish::calibration::clip_rows(m.view(), rows), where_);
      const std::vector<double> clipped = row_magnitudes(m);
      double sum = 0.0;
      for (std::size_t r = 0; r < whole.size(); ++r) {
        const double left = whole[r] > 0.0 ? clipped[r] / whole[r] : 1.0;
        sum += left;
        clip.weight_least = std::min(clip.weight_least, left);
      }
      clip.weight_mean = sum / static_cast<double>(whole.size());
    }
    return made;
  }

  /// The block at the recipe's bits, with these stages in front.
  [[nodiscard]] SiteOutputs outputs_with(std::vector<StageKind> stages) const {
    BuildOptions options{.recipe = recipe_};
    const bool learned = !stages.empty() && stages.front() == StageKind::flatquant;
    options.recipe.stages = std::move(stages);
    options.recipe.rounding = Rounding::nearest;
    SiteOutputs made(
        config_, quantize_layer(config_, weights_, options, nullptr, learned ? &learned_ : nullptr, where_, executor_),
        where_);
    if (learned) made.take_absorbed(learned_, where_);
    return made;
  }

  [[nodiscard]] bool knows_hadamard() const {
    bool known = planish::Hadamard::make(config_.head_size).has_value();
    for (SiteKind kind : site_kinds) known = known && planish::Hadamard::make(channels_at(kind, config_)).has_value();
    return known;
  }

  void measure_errors(BlockProfile& made) const {
    if (!recipe_.quantizes_weights() && !recipe_.quantizes_activations()) return;
    SiteOutputs exact(config_, float_parameters(config_, weights_), where_);
    const bool has_hadamard = knows_hadamard();
    std::vector<SiteOutputs> ways;
    ways.push_back(outputs_with({}));
    ways.push_back(outputs_with({StageKind::flatquant}));
    if (has_hadamard) ways.push_back(outputs_with({StageKind::hadamard}));
    for (SiteKind kind : site_kinds) {
      const SiteBits bits = recipe_.bits_at(kind);
      if (bits.weight == 16 && bits.activation == 16) continue;
      const MatrixView<const float> x(seen_.site(kind).data(), made.tokens, channels_at(kind, config_));
      std::array<std::vector<float>, projections.size()> targets;
      exact.run(kind, x, executor_, [&](Projection p, MatrixView<const float> y) {
        targets[static_cast<std::size_t>(p)].assign(y.data(), y.data() + y.size());
      });
      std::vector<double> errors;
      for (SiteOutputs& way : ways) {
        RelativeError error;
        way.run(kind, x, executor_, [&](Projection p, MatrixView<const float> y) {
          error.add(y, {targets[static_cast<std::size_t>(p)].data(), y.rows(), y.columns()});
        });
        errors.push_back(error.value());
      }
      made.sites[static_cast<std::size_t>(kind)].errors = SiteErrors{
          .plain = errors[0], .hadamard = has_hadamard ? std::optional(errors[2]) : std::nullopt, .learned = errors[1]};
    }
  }

  /// ||k_q - k|| / ||k|| of keys that are turned, quantized as in the cache, and turned back.
  [[nodiscard]] double key_error(const AnyTransform& turn, const AnyTransform& back, planish::ClipPair clip) const {
    const planish::RowQuantizer quantizer{
        .bits = recipe_.key_bits, .symmetry = planish::Symmetry::asymmetric, .clip = clip};
    const auto site = require(planish::AnySite::make(turn.clone(), quantizer, planish::SiteMode::fake), where_);
    const index rows = static_cast<index>(seen_.keys.size()) / config_.head_size;
    const MatrixView<const float> keys(seen_.keys.data(), rows, config_.head_size);
    std::vector<std::byte> memory(site.workspace_size(rows, executor_.workers()));
    planish::Workspace workspace(memory);
    planish::QuantizedInput in;
    require(site.prepare(keys, in, workspace, executor_), where_ + ".keys");
    const std::vector<float> turned =
        rows_after(back, std::vector<float>(in.values.data(), in.values.data() + in.values.size()));
    RelativeError error;
    error.add({turned.data(), rows, config_.head_size}, keys);
    return error.value();
  }

  [[nodiscard]] SiteProfile keys() const {
    const index n = config_.head_size;
    const AnyTransform none = AnyTransform::identity(n), factor = flatquant_keys(learned_, config_, where_);
    AnyTransform back = none;
    if (!factor.is_identity())
      back = AnyTransform(SiteOutputs::inverse(
          require(planish::Dense::make(learned_.key_head.matrix, learned_.key_head.inverse_transpose, n), where_)));
    SiteProfile made;
    measure_rows(seen_.keys, factor, made);
    made.errors = SiteErrors{.plain = key_error(none, none, {}),
                             .hadamard = std::nullopt,
                             .learned = key_error(factor, back, learned_.key_cache)};
    if (auto hadamard = planish::Hadamard::make(n)) {
      // Turning back by a second transform needs the matrix itself, because H need not be symmetric.
      std::vector<float> unit(static_cast<std::size_t>(n * n));
      for (index i = 0; i < n; ++i) unit[static_cast<std::size_t>(i * n + i)] = 1.0f;
      const AnyTransform turn(*std::move(hadamard));
      const std::vector<float> matrix = rows_after(turn, unit);
      made.errors->hadamard =
          key_error(turn, AnyTransform(SiteOutputs::inverse(require(planish::Dense::make(matrix, n), where_))), {});
    }
    return made;
  }

  const Config& config_;
  const LayerWeights& weights_;
  const Recipe& recipe_;
  const FlatQuantParameters& learned_;
  const SeenRows& seen_;
  const std::string& where_;
  ExecutorReference executor_;
};

}  // namespace

BlockProfile profile_block(const Config& config, const LayerWeights& weights, const Recipe& recipe,
                           const FlatQuantParameters& parameters, MatrixView<const float> inputs, index window,
                           const std::string& where, ExecutorReference executor) {
  window = std::min({window, most_tokens, inputs.rows()});
  const index tokens = std::max<index>(1, std::min(inputs.rows(), most_tokens) / window) * window;
  const SeenRows seen = see_block(config, weights, inputs.middle_rows(0, tokens), window, executor);
  const FlatQuantParameters learned = in_model_order(parameters, config);
  return BlockProfiler(config, weights, recipe, learned, seen, where, executor).run();
}

}  // namespace llama
