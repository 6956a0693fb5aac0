#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <planish/calibration/methods/flatquant/record_loss.hpp>
#include <planish/calibration/optimizer/learn.hpp>

#include "../flatquant_build.hpp"
#include "../rows.hpp"
#include "activation_store.hpp"
#include "calibrated_layers.hpp"
#include "options.hpp"
#include "site_profile.hpp"
#include "tape_block.hpp"

namespace llama {

/// What came of one block.
struct CalibratedBlock {
  FlatQuantParameters parameters;
  planish::calibration::LearnReport report;
  std::optional<BlockProfile> profile = {};  // of finished blocks
};

/// Shown after every step; returns false to stop.
using OnCalibrationStep = std::function<bool(const planish::calibration::LearnProgress&)>;

/// What a block before has learned, where that is known.
using LearnedBefore = std::function<std::optional<FlatQuantParameters>(index layer)>;

/// Everything that another implementation needs to learn the same block from the same start.
struct BlockTrace {
  planish::index rows = 0, columns = 0;
  std::vector<float> inputs, targets;                               // rows × columns
  std::vector<std::pair<std::string, std::vector<float>>> learned;  // free numbers at the start, by name
  FlatQuantParameters start;                                        // what they stand for
  std::uint64_t seed = 0;                                           // of the block
};

/// Walks windows of text through a model block by block. Each block learns to give the float block's outputs, from the
/// inputs that the options name. With the float model's own (Inputs::plain) blocks are independent, so any of them can
/// be skipped or learned elsewhere; else what was learned must be known to go past it.
class BlockCalibration {
 public:
  /// All windows have `options.window` ids and outlive this. Activations go to `folder`, or stay in memory.
  BlockCalibration(const WeightSource& source, std::span<const std::vector<int>> windows,
                   const CalibrationOptions& options, ExecutorReference executor, const ActivationFolder& folder = {});

  [[nodiscard]] index next_layer() const noexcept { return layer_; }
  [[nodiscard]] index steps_per_layer() const noexcept { return passes() * batches(); }
  [[nodiscard]] index tokens_per_layer() const noexcept { return passes() * rows_; }

  /// Learns the next block and goes on to the one behind it. A stopped run stays where it is. Throws Error.
  [[nodiscard]] CalibratedBlock learn(const OnCalibrationStep& on_step, BlockTrace* trace = nullptr);

  /// Makes `layer` the next block, whichever was: from the nearest inputs before it that are at hand, through the float
  /// blocks in between. `learned` is asked for those where inputs are not the float model's; no answer is an Error.
  /// False if `stop`, asked before every block on the way, said so; what was reached stays.
  [[nodiscard]] bool go_to(index layer, const LearnedBefore& learned = {}, const std::function<bool()>& stop = {});

  /// Bytes of all activation matrices, wherever they are (two, and those of a model that runs along), of the tape, and
  /// of a block's float32 weights.
  [[nodiscard]] std::size_t activation_bytes() const noexcept;
  [[nodiscard]] std::size_t step_bytes() const noexcept { return step_bytes_; }
  [[nodiscard]] std::size_t block_bytes() const noexcept;

 private:
  [[nodiscard]] int weight_passes() const noexcept {
    return options_.recipe.quantizes_weights() ? options_.method.weight_epochs : 0;
  }
  [[nodiscard]] index passes() const noexcept { return options_.method.epochs + weight_passes(); }
  [[nodiscard]] index batches() const noexcept;
  void run_teacher(const TapeWeights<float>& weights,
                   const std::function<void(SiteKind, MatrixView<const float>)>& see);
  [[nodiscard]] planish::Range rows_of(index batch) const noexcept;
  void start();
  void skip(const std::optional<FlatQuantParameters>& learned);
  void advance(const std::optional<FlatQuantParameters>& learned);
  void release_tape();
  [[nodiscard]] LayerWeights read_block() const;
  [[nodiscard]] const float* student_inputs(Inputs from, std::vector<float>& room);
  [[nodiscard]] CalibratedBlock fit(const std::string& where, const OnCalibrationStep& on_step, BlockTrace* trace);

  const WeightSource* source_;
  std::span<const std::vector<int>> windows_;
  CalibrationOptions options_;
  ExecutorReference executor_;
  tape::Tape<float> tape_;
  tape::RotaryTable<float> rotary_;
  index rows_ = 0;          // tokens of all windows
  ActivationStore inputs_;  // rows × hidden size, before the next block
  ActivationStore targets_;
  std::optional<CalibratedLayers> quantized_;  // where inputs come from the quantized prefix
  index layer_ = 0;
  std::size_t step_bytes_ = 0;  // of the tape, when it held the most
};

}  // namespace llama
