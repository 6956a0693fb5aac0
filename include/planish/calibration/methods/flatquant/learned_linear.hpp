#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

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
    if (clip_) recorded_clip_ = clip_->record(on);
    if (clip_ && output == nullptr)
      return learned_ != nullptr ? tape::clamp_and_quantize_rows(learned_->record(on), recorded_clip_->positive,
                                                                 recorded_clip_->negative, quantizer_)
                                 : site.quantize_weights(on.constant(weights_), *recorded_clip_, quantizer_);
    tape::Variable<T> w = learned_ != nullptr ? learned_->record(on) : site.transform_weights(on.constant(weights_));
    if (clip_) {
      w = tape::clamp_rows(w, recorded_clip_->positive, recorded_clip_->negative);
    }
    if (output != nullptr) w = tape::transpose(tape::kronecker_right(tape::transpose(w), *output));
    return quantizer_.bits == 16 ? w : tape::fake_quantize_rows(w, quantizer_);
  }

  /// b + W z: what the layer's bias becomes where its input loses z. `bias`: out values, or none.
  [[nodiscard]] std::vector<T> bias_behind(std::span<const float> shift, std::span<const T> bias = {}) const {
    std::vector<T> sums;
    for (index r = 0; r < weights_.rows(); ++r) {
      double sum = bias.empty() ? 0.0 : static_cast<double>(bias[static_cast<std::size_t>(r)]);
      for (index c = 0; c < weights_.columns(); ++c)
        sum += static_cast<double>(weights_(r, c)) * static_cast<double>(shift[static_cast<std::size_t>(c)]);
      sums.push_back(static_cast<T>(sum));
    }
    return sums;
  }

  /// From now on the transformed weights are parameters themselves: they start where the transform, which must not move
  /// any more, has brought them, and a rate of 1 is a step of their row's grid. Nothing where weights stay float.
  void learn_weights(ParameterSet<T>& parameters, const std::string& name, tape::Tape<T>& on,
                     const LearnedSite<T>& site) {
    if (quantizer_.bits == 16) return;
    const MatrixView<const T> start = site.transform_weights(on.constant(weights_)).value();
    learned_ = &parameters.add(name + ".weight", start.rows(), start.columns());
    learned_->row_rates.resize(static_cast<std::size_t>(start.rows()));
    const T steps = static_cast<T>((1 << (quantizer_.bits - 1)) - 1);
    for (index r = 0; r < start.rows(); ++r) {
      std::copy_n(start.row(r), start.columns(), learned_->view().row(r));
      const auto range = tape::RowRange<T>::of(start.row(r), start.columns());
      learned_->row_rates[static_cast<std::size_t>(r)] = std::max(range.highest, -range.lowest) / steps;
    }
  }
  [[nodiscard]] bool learns_weights() const noexcept { return learned_ != nullptr; }

  [[nodiscard]] const std::optional<ClipVariables<T>>& clip() const noexcept { return recorded_clip_; }

 private:
  MatrixView<const T> weights_;
  tape::FakeQuantizer quantizer_;  // of 16 bits: not used
  LearnedMatrix<T>* learned_ = nullptr;
  std::optional<LearnedClip<T>> clip_;
  std::optional<ClipVariables<T>> recorded_clip_;
};

}  // namespace planish::inline PLANISH_ABI::calibration
