#pragma once
#include <optional>
#include <span>
#include <vector>

#include "../build.hpp"
#include "options.hpp"

namespace llama {

/// Turns what blocks have learned into the blocks of the quantized model, one after the other, and runs the calibration
/// text along where something depends on it: GPTQ's second moments, or inputs from the quantized prefix.
class CalibratedLayers {
 public:
  /// `serves_inputs`: `inputs()` will be asked for. The options stay the caller's.
  CalibratedLayers(const WeightSource& source, std::span<const std::vector<int>> windows,
                   const CalibrationOptions& options, bool serves_inputs, ExecutorReference executor);

  /// What the next block reads in the quantized model, tokens × hidden size.
  [[nodiscard]] MatrixView<const float> inputs() { return quantized_->hidden(); }

  /// Bytes of what the models that run along read at this point, every token's.
  [[nodiscard]] std::size_t activation_bytes() const noexcept;

  /// The next block. Throws Error.
  [[nodiscard]] BlockParameters build(const FlatQuantParameters& learned);

  /// Goes on behind the block that was built.
  void advance(BlockParameters built);

 private:
  const WeightSource* source_;
  const CalibrationOptions* options_;
  ExecutorReference executor_;
  std::optional<CalibrationPass> float_, quantized_;  // where they are needed
  index layer_ = 0;
};

}  // namespace llama
