#pragma once
#include <string>

#include <planish/calibration/methods/flatquant/options.hpp>
#include <planish/calibration/optimizer/parameter_set.hpp>
#include <planish/calibration/tape/arithmetic.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// Clip factors on a tape, in (0, 1).
template <tape::MustBeReal T>
struct ClipVariables {
  tape::Variable<T> positive, negative;  // rows × 1
};

/// Clip factors σ(logit) of the largest and the least value: one pair for everything, or one per row.
template <tape::MustBeReal T>
class LearnedClip {
 public:
  LearnedClip(ParameterSet<T>& parameters, const std::string& name, index rows, const FlatQuant& method)
      : positive_(
            &parameters.add(name + ".positive", rows, 1, static_cast<T>(method.clip_logit), method.clip_rate_factor)),
        negative_(
            &parameters.add(name + ".negative", rows, 1, static_cast<T>(method.clip_logit), method.clip_rate_factor)) {}

  [[nodiscard]] ClipVariables<T> record(tape::Tape<T>& on) {
    return {tape::sigmoid(positive_->record(on)), tape::sigmoid(negative_->record(on))};
  }

 private:
  LearnedMatrix<T>*positive_, *negative_;
};

}  // namespace planish::inline PLANISH_ABI::calibration
