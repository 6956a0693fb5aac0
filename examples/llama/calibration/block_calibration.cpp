#include "block_calibration.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <planish/backend/enable_amx.hpp>
#include <planish/calibration/methods/flatquant/learn_flatquant.hpp>
#include <planish/calibration/tape/split_products.hpp>
#include <planish/core/random.hpp>

#include "export_parameters.hpp"
#include "learned_block.hpp"
#include "objective.hpp"
#include "site_watch.hpp"

namespace llama {

BlockCalibration::BlockCalibration(const WeightSource& source, std::span<const std::vector<int>> windows,
                                   const CalibrationOptions& options, ExecutorReference executor,
                                   const ActivationFolder& folder)
    : source_(&source),
      windows_(windows),
      options_(options),
      executor_(executor),
      tape_(executor),
      rotary_(options.window, source.config().rotary_frequencies),
      rows_(static_cast<index>(windows.size()) * options.window),
      inputs_(rows_, source.config().hidden_size, folder),
      targets_(rows_, source.config().hidden_size, folder) {
  if (options.method.products != planish::calibration::Products::split_bfloat16) return;
  static_cast<void>(planish::enable_amx());  // what is missing, the next says
  if (const planish::Status can = tape::can_split_products(); !can.ok())
    fail("--products split-bfloat16: ", can.message());
}

/// Makes the first block the next.
void BlockCalibration::start() {
  const Config& config = source_->config();
  std::vector<float> row(static_cast<std::size_t>(config.hidden_size));
  inputs_.begin(0);
  for (const std::vector<int>& window : windows_)
    for (int id : window) {
      source_->read_rows("embedding", {config.vocabulary, config.hidden_size}, id, 1, row.data());
      inputs_.append(row.data(), 1);
    }
  inputs_.finish();
  source_->release();
  if (!options_.blocks_are_independent()) quantized_.emplace(*source_, windows_, options_, true, executor_);
  layer_ = 0;
}

bool BlockCalibration::go_to(index layer, const LearnedBefore& learned, const std::function<bool()>& stop) {
  const bool walks = !options_.blocks_are_independent();  // a file holds the float model's inputs only
  const index at_hand = inputs_.data() != nullptr && layer_ <= layer ? layer_ : -1;
  index from = walks ? at_hand : layer;
  while (from > at_hand && !inputs_.open(from)) --from;
  if (from < 0)
    start();
  else
    layer_ = from;
  while (layer_ < layer) {
    if (stop && stop()) return false;
    skip(walks && learned ? learned(layer_) : std::nullopt);
  }
  return true;
}

std::size_t BlockCalibration::activation_bytes() const noexcept {
  const std::size_t beside = quantized_ ? quantized_->activation_bytes() : 0;
  return static_cast<std::size_t>(inputs_.size() + targets_.size()) * sizeof(float) + beside;
}

std::size_t BlockCalibration::block_bytes() const noexcept {
  index numbers = 2 * source_->config().hidden_size;
  for (Projection p : projections) {
    const MatrixShape shape = shape_of(p, source_->config());
    numbers += shape.rows * shape.columns;
  }
  const std::size_t copies = weight_passes() > 0 ? 7 : 1;  // gradient, moments, the start, the best and the result too
  return static_cast<std::size_t>(numbers) * copies * sizeof(float);
}

index BlockCalibration::batches() const noexcept {
  const index rows = options_.method.batch * options_.window;
  return (rows_ + rows - 1) / rows;
}

planish::Range BlockCalibration::rows_of(index batch) const noexcept {
  const index rows = options_.method.batch * options_.window;
  return {batch * rows, std::min(rows_, (batch + 1) * rows)};
}

LayerWeights BlockCalibration::read_block() const {
  LayerWeights weights = read_layer(*source_, layer_);
  source_->release();
  return weights;
}

/// The float block's outputs, window by window.
void BlockCalibration::run_teacher(const TapeWeights<float>& weights,
                                   const std::function<void(SiteKind, MatrixView<const float>)>& see) {
  const Config& config = source_->config();
  const index hidden = config.hidden_size;
  const FloatHooks<float> hooks{&weights, see};
  targets_.begin(layer_ + 1);
  for (index first = 0; first < rows_; first += options_.window) {
    const auto x = tape_.constant({inputs_.data() + first * hidden, options_.window, hidden});
    const auto y = BlockGraph<float>(config, weights, rotary_, options_.window).forward(hooks, x).value();
    targets_.append(y.data(), options_.window);
    tape_.clear();
    inputs_.release();
  }
  targets_.finish();
}

void BlockCalibration::advance(const std::optional<FlatQuantParameters>& learned) {
  if (quantized_) {
    if (!learned)
      fail(source_->path(), ": layer ", layer_, " was not learned yet, and the blocks behind it read what it makes");
    quantized_->advance(quantized_->build(*learned));
  }
  std::swap(inputs_, targets_);
  ++layer_;
}

void BlockCalibration::skip(const std::optional<FlatQuantParameters>& learned) {
  run_teacher(TapeWeights<float>(source_->config(), read_block()), {});
  advance(learned);
}

/// What the block learns from: tokens × hidden size, in `room` where they are mixed.
const float* BlockCalibration::student_inputs(Inputs from, std::vector<float>& room) {
  if (from == Inputs::plain) return inputs_.data();
  const MatrixView<const float> quantized = quantized_->inputs();
  if (from == Inputs::quantized) return quantized.data();
  room.assign(quantized.data(), quantized.data() + quantized.size());
  planish::Random coins(options_.method.seed * 1000003u + static_cast<std::uint64_t>(layer_));
  for (std::size_t i = 0; i < room.size(); ++i)
    if (coins.below(2) == 0) room[i] = inputs_.data()[i];
  return room.data();
}

void BlockCalibration::release_tape() {
  step_bytes_ = std::max(step_bytes_, tape_.memory_bytes());
  tape_.release();
}

CalibratedBlock BlockCalibration::learn(const OnCalibrationStep& on_step, BlockTrace* trace) {
  if (inputs_.data() == nullptr) start();
  const std::string where = source_->path() + ": layer " + std::to_string(layer_);
  CalibratedBlock made = fit(where, on_step, trace);
  release_tape();  // the profile needs as much
  if (made.report.stopped) return made;
  made.profile =
      profile_block(source_->config(), read_block(), options_.recipe, made.parameters,
                    {inputs_.data(), rows_, source_->config().hidden_size}, options_.window, where, executor_);
  advance(made.parameters);
  return made;
}

CalibratedBlock BlockCalibration::fit(const std::string& where, const OnCalibrationStep& on_step, BlockTrace* trace) {
  const Config& config = source_->config();
  const planish::calibration::FlatQuant& method = options_.method;
  const TapeWeights<float> weights(config, read_block());
  SiteWatch watch(config, options_.recipe, method, where);
  run_teacher(weights, [&](SiteKind kind, MatrixView<const float> x) { watch.see(kind, x); });
  const std::uint64_t seed = method.seed * 1000003u + 64u * static_cast<std::uint64_t>(layer_);
  LearnedBlock<float> block(config, weights, options_.recipe, method, watch.start(), seed);
  std::vector<float> mixed;
  const float* inputs = student_inputs(options_.inputs, mixed);
  if (trace != nullptr) {
    *trace = {rows_, config.hidden_size, {inputs, inputs + inputs_.size()}, targets_.values(), {}, {}, seed};
    for (const auto& m : block.parameters().members()) trace->learned.emplace_back(m.name, m.values);
    block.record(tape_);
    trace->start = export_parameters(config, block);
    tape_.clear();
  }
  const BlockGraph<float> graph(config, weights, rotary_, options_.window);
  const auto loss = [&](index batch) {
    const planish::Range rows = rows_of(batch);
    const index count = rows.end - rows.begin, hidden = config.hidden_size;
    inputs_.release();  // the step before is over
    targets_.release();
    block.record(tape_);
    const auto x = tape_.constant({inputs + rows.begin * hidden, count, hidden});
    const MatrixView<const float> target(targets_.data() + rows.begin * hidden, count, hidden);
    return record_objective(options_.objective, method, weights, graph, block, x, target);
  };
  CalibratedBlock made;
  tape_.set_products(method.products);  // not the float model's own, which is what to learn
  const auto begin_weights = [&] {
    block.learn_weights(tape_);
    release_tape();  // the steps of weights need other buffers, and memory for moments
    if (options_.weight_inputs == options_.inputs) return true;
    inputs = student_inputs(options_.weight_inputs, mixed);
    return false;
  };
  planish::calibration::FlatQuant passes = method;
  passes.weight_epochs = weight_passes();
  made.report = require(
      planish::calibration::learn_flatquant(passes, batches(), block.parameters(), tape_, loss, begin_weights, on_step),
      where);
  tape_.set_products(planish::calibration::Products::float32);
  block.record(tape_);
  made.parameters = export_parameters(config, block);
  tape_.clear();
  return made;
}

}  // namespace llama
