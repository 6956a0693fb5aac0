#pragma once
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <planish/calibration/methods/flatquant/record_loss.hpp>
#include <planish/calibration/optimizer/learn.hpp>

#include "../flatquant_build.hpp"
#include "../recipe.hpp"
#include "../rows.hpp"
#include "tape_block.hpp"

namespace llama {

/// What a calibration learns, from what.
struct CalibrationOptions {
  Recipe recipe;
  planish::calibration::FlatQuant method;
  index window = 2048;  ///< tokens of a sequence
};

/// What came of one block.
struct CalibratedBlock {
  FlatQuantParameters parameters;
  planish::calibration::LearnReport report;
};

/// Shown after every step; returns false to stop.
using OnCalibrationStep = std::function<bool(const planish::calibration::LearnProgress&)>;

/// Everything that another implementation needs to learn the same block from the same start.
struct BlockTrace {
  planish::index rows = 0, columns = 0;
  std::vector<float> inputs, targets;                               // rows × columns
  std::vector<std::pair<std::string, std::vector<float>>> learned;  // free numbers at the start, by name
  FlatQuantParameters start;                                        // what they stand for
};

/// Walks windows of text through a model block by block. Each block learns from the float model's own activations, and
/// hands the float model's outputs on (FlatQuant, arXiv 2410.09426, §3.3): blocks are independent, so any of them can
/// be skipped or learned elsewhere.
class BlockCalibration {
 public:
  /// All windows have `options.window` ids.
  BlockCalibration(const WeightSource& source, std::span<const std::vector<int>> windows,
                   const CalibrationOptions& options, ExecutorReference executor);

  [[nodiscard]] index next_layer() const noexcept { return layer_; }
  [[nodiscard]] index steps_per_layer() const noexcept { return options_.method.epochs * batches(); }
  [[nodiscard]] index tokens_per_layer() const noexcept { return options_.method.epochs * rows_; }

  /// Learns the next block and goes on to the one behind it. A stopped run stays where it is. Throws Error.
  [[nodiscard]] CalibratedBlock learn(const OnCalibrationStep& on_step, BlockTrace* trace = nullptr);

  /// Only carries the activations through the next block.
  void skip();

 private:
  [[nodiscard]] index batches() const noexcept;
  void run_teacher(const TapeWeights<float>& weights,
                   const std::function<void(SiteKind, MatrixView<const float>)>& see);
  [[nodiscard]] planish::Range rows_of(index batch) const noexcept;
  void advance();

  const WeightSource* source_;
  CalibrationOptions options_;
  ExecutorReference executor_;
  tape::Tape<float> tape_;
  tape::RotaryTable<float> rotary_;
  index rows_ = 0;             // tokens of all windows
  std::vector<float> inputs_;  // rows × hidden size, before the next block
  std::vector<float> targets_;
  index layer_ = 0;
};

}  // namespace llama
