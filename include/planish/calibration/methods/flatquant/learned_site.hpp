#pragma once
#include <optional>
#include <string>
#include <vector>

#include <planish/calibration/methods/flatquant/learned_clip.hpp>
#include <planish/calibration/methods/flatquant/learned_factor.hpp>
#include <planish/calibration/tape/fake_quantize.hpp>
#include <planish/calibration/tape/kronecker_clamp_and_quantize.hpp>
#include <planish/calibration/tape/transpose.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// A site of a block, as the learner needs to know it. channels = left × right.
struct SiteDescription {
  std::string name;
  index left = 1, right = 1;    ///< orders of the Kronecker factors
  int activation_bits = 16;     ///< 16: stays float
  int consumers = 1;            ///< linear layers that read the site
  bool has_scale = true;        ///< false where nothing can take a diagonal
  bool right_absorbed = false;  ///< the producer carries the right factor: of values, read by o
};

/// Transform and activation clips of one site while they are learned: x → leftᵀ ((x − z) ⊙ c) right, then clip and
/// quantize.
template <tape::MustBeReal T>
class LearnedSite {
 public:
  /// `start_scale`: channels positive values, or none for ones. `shift`: z, which stays what it is, or none.
  LearnedSite(ParameterSet<T>& parameters, const SiteDescription& site, std::span<const float> start_scale,
              const FlatQuant& method, std::uint64_t seed, std::span<const float> shift = {})
      : site_(site), rounds_(method.rounds), shift_(shift.begin(), shift.end()) {
    for (const float z : shift) minus_shift_.push_back(static_cast<T>(-z));
    if (method.learns_scale && site.has_scale) {
      const std::vector<float> ones(static_cast<std::size_t>(site.left * site.right), 1.0f);
      scale_.emplace(parameters, site.name + ".scale", start_scale.empty() ? ones : start_scale, method.scale_form);
    }
    if (method.learns_transform) {
      if (site.left > 1) left_.emplace(parameters, site.name + ".left", site.left, method, seed);
      if (site.right > 1) right_.emplace(parameters, site.name + ".right", site.right, method, seed + 2);
    }
    if (method.learns_clip && site.activation_bits < 16)
      for (int pair = 0; pair < (method.shared_clip ? 1 : site.consumers); ++pair)
        clips_.emplace_back(parameters, site.name + ".clip" + std::to_string(pair), 1, method);
  }

  [[nodiscard]] const SiteDescription& description() const noexcept { return site_; }
  [[nodiscard]] std::size_t clip_pairs() const noexcept { return clips_.size(); }

  /// Puts the step's factors, scale and clips on the tape; before anything else of the step.
  void record(tape::Tape<T>& on) {
    on_ = {};
    if (scale_) {
      on_.scale = scale_->record(on);
      on_.inverse_scale = tape::reciprocal(*on_.scale);
    }
    if (left_) on_.left = left_->record(on);
    if (right_) on_.right = right_->record(on);
    if (!shift_.empty()) {
      const auto z = on.constant({minus_shift_.data(), 1, static_cast<index>(minus_shift_.size())});
      on_.minus_shift = right_ && site_.right_absorbed ? tape::kronecker_right(z, on_.right->matrix) : z;
    }
    for (auto& clip : clips_) on_.clips.push_back(clip.record(on));
  }

  [[nodiscard]] const std::optional<FactorVariables<T>>& left() const noexcept { return on_.left; }
  [[nodiscard]] const std::optional<FactorVariables<T>>& right() const noexcept { return on_.right; }
  [[nodiscard]] const std::optional<tape::Variable<T>>& scale() const noexcept { return on_.scale; }
  [[nodiscard]] const std::vector<float>& shift() const noexcept { return shift_; }
  [[nodiscard]] const std::vector<ClipVariables<T>>& clips() const noexcept { return on_.clips; }

  /// What runs online on the site's input, tokens × channels.
  [[nodiscard]] tape::Variable<T> transform(tape::Variable<T> x) const {
    if (on_.minus_shift) x = tape::add_to_rows(x, *on_.minus_shift);
    return map(x, on_.scale, left_ ? &on_.left->matrix : nullptr,
               right_ && !site_.right_absorbed ? &on_.right->matrix : nullptr);
  }

  /// The values of the codes that a consumer reads, of an already transformed input. Record it once where
  /// `clip_pairs()` is at most one.
  [[nodiscard]] tape::Variable<T> quantize(tape::Variable<T> transformed, int consumer) const {
    if (site_.activation_bits == 16) return transformed;
    const tape::FakeQuantizer options{
        .bits = site_.activation_bits, .symmetry = Symmetry::symmetric, .rounds = rounds_};
    if (on_.clips.empty()) return tape::fake_quantize_rows(transformed, options);
    const auto& clip = on_.clips[on_.clips.size() == 1 ? 0 : static_cast<std::size_t>(consumer)];
    return tape::fake_quantize_rows(transformed, options, clip.positive, clip.negative);
  }

  /// Rows of a consumer's weights by the dual of the whole transform.
  [[nodiscard]] tape::Variable<T> transform_weights(tape::Variable<T> w) const {
    return map(w, on_.inverse_scale, left_ ? &on_.left->inverse_transpose : nullptr,
               right_ ? &on_.right->inverse_transpose : nullptr);
  }

  /// The same, then each row clamped and quantized with one scale.
  [[nodiscard]] tape::Variable<T> quantize_weights(tape::Variable<T> w, const ClipVariables<T>& clip,
                                                   const tape::FakeQuantizer& quantizer) const {
    if (quantizer.group_size != 0 || (!left_ && !right_))
      return tape::clamp_and_quantize_rows(transform_weights(w), clip.positive, clip.negative, quantizer);
    tape::KroneckerVariables<T> by{.n1 = site_.left, .n2 = site_.right, .scale = on_.inverse_scale};
    if (left_) by.left = on_.left->inverse_transpose;
    if (right_) by.right = on_.right->inverse_transpose;
    return tape::kronecker_clamp_and_quantize(w, by, clip.positive, clip.negative, quantizer);
  }

  /// The way back from `transform_weights`.
  [[nodiscard]] tape::Variable<T> turn_weights_back(tape::Variable<T> w) const {
    std::optional<tape::Variable<T>> left, right;
    if (left_) left = tape::transpose(on_.left->matrix);
    if (right_) right = tape::transpose(on_.right->matrix);
    w = map(w, {}, left ? &*left : nullptr, right ? &*right : nullptr);
    return on_.scale ? tape::scale_columns(w, *on_.scale) : w;
  }

 private:
  [[nodiscard]] tape::Variable<T> map(tape::Variable<T> x, const std::optional<tape::Variable<T>>& scale,
                                      const tape::Variable<T>* left, const tape::Variable<T>* right) const {
    if (left != nullptr && right != nullptr) return tape::kronecker(x, *left, *right, scale);
    if (left != nullptr) return tape::kronecker_left(x, *left, scale);
    if (right != nullptr) return tape::kronecker_right(x, *right, scale);
    return scale ? tape::scale_columns(x, *scale) : x;
  }

  struct Recorded {
    std::optional<tape::Variable<T>> minus_shift, scale, inverse_scale;
    std::optional<FactorVariables<T>> left, right;
    std::vector<ClipVariables<T>> clips;
  };

  SiteDescription site_;
  bool rounds_;
  std::vector<float> shift_;  // of channels that carry no factor yet
  std::vector<T> minus_shift_;
  std::optional<LearnedScale<T>> scale_;
  std::optional<LearnedFactor<T>> left_, right_;
  std::vector<LearnedClip<T>> clips_;
  Recorded on_;
};

}  // namespace planish::inline PLANISH_ABI::calibration
