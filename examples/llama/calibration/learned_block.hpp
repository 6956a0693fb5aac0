#pragma once
#include <optional>
#include <span>
#include <vector>

#include <planish/calibration/methods/flatquant/learned_linear.hpp>

#include "../recipe.hpp"
#include "tape_block.hpp"

namespace llama {

/// What learning starts from, of every channel of each site's input, by SiteKind.
struct SiteStart {
  std::array<std::vector<float>, site_kinds.size()> magnitudes;  // max |x_j|, or max |x_j − z_j|
  std::array<std::vector<float>, site_kinds.size()> shifts;      // z, or none: FlatQuant::centres
};

/// A block whose transforms and clips are learned: the hooks of a BlockGraph, and the owner of the parameters. The
/// sites of FlatQuant (arXiv 2410.09426, §3.2): Kronecker transforms at the inputs of q, k, v, of gate and up, and of
/// down; across heads at the input of o, with the factor inside a head absorbed by v; one factor per layer on keys
/// after RoPE, its dual on queries.
template <class T>
class LearnedBlock {
  using Variable = tape::Variable<T>;

 public:
  LearnedBlock(const Config& config, const TapeWeights<T>& weights, const Recipe& recipe,
               const planish::calibration::FlatQuant& method, const SiteStart& start, std::uint64_t seed)
      : config_(&config), weights_(&weights), recipe_(&recipe), rounds_(method.rounds) {
    for (SiteKind kind : site_kinds) {
      const planish::calibration::SiteDescription site = describe(kind);
      const std::vector<float> scale = site.has_scale ? start_scale(kind, method, start) : std::vector<float>{};
      sites_.emplace_back(parameters_, site, scale, method, seed + 16 * static_cast<std::uint64_t>(kind),
                          start.shifts[static_cast<std::size_t>(kind)]);
    }
    for (Projection p : projections) {
      linears_.emplace_back(parameters_, std::string(name_of(p)), weights.matrix(p), recipe.bits_at(site_of(p)).weight,
                            recipe.group_size, method);
      const std::vector<float>& shift = start.shifts[static_cast<std::size_t>(site_of(p))];
      biases_.push_back(shift.empty() ? weights.bias(p) : linears_.back().bias_behind(shift, weights.bias(p)));
    }
    if (recipe.key_bits < 16 && method.learns_transform)
      key_.emplace(parameters_, "key", config.head_size, method, seed + 16 * site_kinds.size());
    if (method.learns_clip && recipe.key_bits < 16) key_clip_.emplace(parameters_, "key.clip", 1, method);
    if (method.learns_clip && recipe.value_bits < 16) value_clip_.emplace(parameters_, "value.clip", 1, method);
  }
  LearnedBlock(const LearnedBlock&) = delete;
  LearnedBlock& operator=(const LearnedBlock&) = delete;

  [[nodiscard]] planish::calibration::ParameterSet<T>& parameters() noexcept { return parameters_; }

  /// From now on the weights learn; transforms and clips stay what they are. Clears the tape.
  void learn_weights(tape::Tape<T>& on) {
    record(on);
    for (auto& m : parameters_.members()) m.learns = false;
    for (Projection p : projections)
      linears_[static_cast<std::size_t>(p)].learn_weights(parameters_, std::string(name_of(p)), on,
                                                          sites_[static_cast<std::size_t>(site_of(p))]);
    on.clear();
  }

  /// Starts a step: puts what all hooks share on the tape.
  void record(tape::Tape<T>& on) {
    for (auto& site : sites_) site.record(on);
    matrices_.clear();
    for (Projection p : projections) {
      const auto& site = sites_[static_cast<std::size_t>(site_of(p))];
      const auto& head = sites_[static_cast<std::size_t>(SiteKind::output)].right();
      matrices_.push_back(linears_[static_cast<std::size_t>(p)].record(
          on, site, p == Projection::value && head ? &head->matrix : nullptr));
    }
    key_on_.reset();
    key_clip_on_.reset();
    value_clip_on_.reset();
    if (key_) key_on_ = key_->record(on);
    if (key_clip_) key_clip_on_ = key_clip_->record(on);
    if (value_clip_) value_clip_on_ = value_clip_->record(on);
  }

  [[nodiscard]] std::vector<Variable> site(SiteKind kind, Variable x) const {
    const auto& site = sites_[static_cast<std::size_t>(kind)];
    const Variable transformed = site.transform(x);
    const int consumers = site.description().consumers;
    std::vector<Variable> inputs{site.quantize(transformed, 0)};
    for (int c = 1; c < consumers; ++c)
      inputs.push_back(site.clip_pairs() > 1 ? site.quantize(transformed, c) : inputs.front());
    return inputs;
  }
  [[nodiscard]] Variable matrix(tape::Tape<T>& /*on*/, Projection p) const {
    return matrices_[static_cast<std::size_t>(p)];
  }
  [[nodiscard]] bool has_bias(Projection p) const { return !biases_[static_cast<std::size_t>(p)].empty(); }
  /// The values' bias is turned like the values.
  [[nodiscard]] Variable bias(tape::Tape<T>& on, Projection p) const {
    const std::vector<T>& values = biases_[static_cast<std::size_t>(p)];
    const Variable plain = on.constant({values.data(), 1, static_cast<index>(values.size())});
    return p == Projection::value ? turn_values(plain) : plain;
  }
  [[nodiscard]] Variable query(Variable x) const {
    return key_on_ ? tape::kronecker_right(x, key_on_->inverse_transpose) : x;
  }
  [[nodiscard]] Variable key(Variable x) const {
    return to_cache(key_on_ ? tape::kronecker_right(x, key_on_->matrix) : x, recipe_->key_bits, key_clip_on_);
  }
  [[nodiscard]] Variable value(Variable x) const { return to_cache(x, recipe_->value_bits, value_clip_on_); }

  // The ways back to the float block's own channels, for objectives that compare what lies inside a block.

  /// Of what `key` gives.
  [[nodiscard]] Variable key_back(Variable x) const {
    return key_on_ ? tape::kronecker_right(x, tape::transpose(key_on_->inverse_transpose)) : x;
  }
  /// The factor that values carry, of plain values or what attention makes of them.
  [[nodiscard]] Variable turn_values(Variable x) const {
    const auto& head = sites_[static_cast<std::size_t>(SiteKind::output)].right();
    return head ? tape::kronecker_right(x, head->matrix) : x;
  }
  [[nodiscard]] Variable value_back(Variable x) const {
    const auto& head = sites_[static_cast<std::size_t>(SiteKind::output)].right();
    return head ? tape::kronecker_right(x, tape::transpose(head->inverse_transpose)) : x;
  }
  /// Of quantized weights, out × in.
  [[nodiscard]] Variable weights_back(Projection p) const {
    Variable w = matrices_[static_cast<std::size_t>(p)];
    if (p == Projection::value) w = tape::transpose(value_back(tape::transpose(w)));
    return sites_[static_cast<std::size_t>(site_of(p))].turn_weights_back(w);
  }

  [[nodiscard]] const planish::calibration::LearnedSite<T>& site_at(SiteKind kind) const {
    return sites_[static_cast<std::size_t>(kind)];
  }
  [[nodiscard]] const planish::calibration::LearnedLinear<T>& linear_at(Projection p) const {
    return linears_[static_cast<std::size_t>(p)];
  }
  /// The values of the codes of the step.
  [[nodiscard]] Variable matrix_at(Projection p) const { return matrices_[static_cast<std::size_t>(p)]; }
  using Factor = planish::calibration::FactorVariables<T>;
  using Clip = planish::calibration::ClipVariables<T>;
  [[nodiscard]] const std::optional<Factor>& key_factor() const { return key_on_; }
  [[nodiscard]] const std::optional<Clip>& key_clip() const { return key_clip_on_; }
  [[nodiscard]] const std::optional<Clip>& value_clip() const { return value_clip_on_; }

 private:
  [[nodiscard]] planish::calibration::SiteDescription describe(SiteKind kind) const {
    const SiteBits bits = recipe_->bits_at(kind);
    planish::calibration::SiteDescription site{.name = std::string(to_string(kind)),
                                               .activation_bits = bits.activation};
    site.consumers = static_cast<int>(
        std::count_if(projections.begin(), projections.end(), [kind](Projection p) { return site_of(p) == kind; }));
    const bool quantizes = bits.activation < 16 || bits.weight < 16;
    if (kind == SiteKind::output) {
      site.has_scale = false;
      site.right_absorbed = true;
      if (quantizes) site.left = config_->heads;
      if (quantizes || recipe_->value_bits < 16) site.right = config_->head_size;
      return site;
    }
    site.has_scale = quantizes;
    if (!quantizes) return site;
    const planish::KroneckerFactors factors = planish::kronecker_factors(channels_at(kind, *config_));
    site.left = factors.left;
    site.right = factors.right;
    return site;
  }

  /// max|W|^(1−α) / max|X|^α over the consumers of a site.
  [[nodiscard]] std::vector<float> start_scale(SiteKind kind, const planish::calibration::FlatQuant& method,
                                               const SiteStart& start) const {
    std::vector<float> scale(static_cast<std::size_t>(channels_at(kind, *config_)));
    for (Projection p : projections) {
      if (site_of(p) != kind) continue;
      const MatrixView<const T> w = weights_->matrix(p);
      for (index r = 0; r < w.rows(); ++r)
        for (index c = 0; c < w.columns(); ++c) {
          float& largest = scale[static_cast<std::size_t>(c)];
          largest = std::max(largest, static_cast<float>(std::abs(w(r, c))));
        }
    }
    const std::vector<float>& x = start.magnitudes[static_cast<std::size_t>(kind)];
    for (std::size_t j = 0; j < scale.size(); ++j)
      scale[j] = planish::calibration::flatquant_scale(scale[j], x[j], method.alpha);
    return scale;
  }

  /// Asymmetric, per token and head.
  [[nodiscard]] Variable to_cache(Variable x, int bits, const std::optional<Clip>& clip) const {
    if (bits == 16) return x;
    tape::Tape<T>& on = x.tape();
    const index rows = x.rows(), columns = x.columns(), size = config_->head_size;
    const tape::FakeQuantizer quantizer{.bits = bits, .symmetry = planish::Symmetry::asymmetric, .rounds = rounds_};
    const Variable heads = on.reshape(x, rows * (columns / size), size);
    return on.reshape(clip ? tape::fake_quantize_rows(heads, quantizer, clip->positive, clip->negative)
                           : tape::fake_quantize_rows(heads, quantizer),
                      rows, columns);
  }

  const Config* config_;
  const TapeWeights<T>* weights_;
  const Recipe* recipe_;
  bool rounds_;
  planish::calibration::ParameterSet<T> parameters_;
  std::vector<planish::calibration::LearnedSite<T>> sites_;
  std::vector<planish::calibration::LearnedLinear<T>> linears_;
  std::vector<std::vector<T>> biases_;  // of the model and of what sites are shifted by, by Projection
  std::optional<planish::calibration::LearnedFactor<T>> key_;
  std::optional<planish::calibration::LearnedClip<T>> key_clip_, value_clip_;
  std::vector<Variable> matrices_;  // of the step, by Projection
  std::optional<Factor> key_on_;
  std::optional<Clip> key_clip_on_, value_clip_on_;
};

}  // namespace llama
