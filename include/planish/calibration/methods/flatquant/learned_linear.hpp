#pragma once
#include <optional>
#include <string>

#include <planish/calibration/methods/flatquant/learned_site.hpp>
#include <planish/calibration/tape/clamp_and_quantize.hpp>
#include <planish/calibration/tape/transpose.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// Weight clips of one linear layer while they are learned.
template <tape::MustBeReal T>
class LearnedLinear {
 public:
  /// `weights` (out × in) and `bias` (out, or empty) stay the caller's.
  LearnedLinear(ParameterSet<T>& parameters, const std::string& name, MatrixView<const T> weights, int bits,
                index group_size, const FlatQuant& method)
      : weights_(weights),
        quantizer_{.bits = bits, .symmetry = Symmetry::symmetric, .group_size = group_size, .rounds = method.rounds} {
    if (method.learns_clip && bits < 16) clip_.emplace(parameters, name + ".clip", weights.rows(), method);
  }

  /// The values of the codes, out × in, as the consumer of `site`. `output`: a factor of order n by which every n rows
  /// (a head of the values) are turned, after the clamp and before the codes.
  [[nodiscard]] tape::Variable<T> record(tape::Tape<T>& on, const LearnedSite<T>& site,
                                         const tape::Variable<T>* output = nullptr) {
    recorded_clip_.reset();
    const tape::Variable<T> plain = on.constant(weights_);
    if (clip_) recorded_clip_ = clip_->record(on);
    if (clip_ && output == nullptr) return site.quantize_weights(plain, *recorded_clip_, quantizer_);
    tape::Variable<T> w = site.transform_weights(plain);
    if (clip_) {
      w = tape::clamp_rows(w, recorded_clip_->positive, recorded_clip_->negative);
    }
    if (output != nullptr) w = tape::transpose(tape::kronecker_right(tape::transpose(w), *output));
    return quantizer_.bits == 16 ? w : tape::fake_quantize_rows(w, quantizer_);
  }

  [[nodiscard]] const std::optional<ClipVariables<T>>& clip() const noexcept { return recorded_clip_; }

 private:
  MatrixView<const T> weights_;
  tape::FakeQuantizer quantizer_;  // of 16 bits: not used
  std::optional<LearnedClip<T>> clip_;
  std::optional<ClipVariables<T>> recorded_clip_;
};

}  // namespace planish::inline PLANISH_ABI::calibration
