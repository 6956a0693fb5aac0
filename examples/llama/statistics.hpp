#pragma once
#include <optional>
#include <vector>

#include <planish/calibration/channel_range.hpp>
#include <planish/calibration/second_moment.hpp>

#include "block.hpp"
#include "layer_weights.hpp"
#include "typical_range.hpp"

namespace llama {

/// What calibration saw of a site's input.
struct SiteStatistics {
  explicit SiteStatistics(index channels) : range(channels), typical(channels) {}

  planish::calibration::ChannelRange range;                  // of all tokens
  TypicalRange typical;                                      // of most tokens
  std::vector<float> rows;                                   // tokens × channels, where they were asked for
  std::vector<index> starts;                                 // those of the rows that start a sequence
  std::optional<planish::calibration::SecondMoment> moment;  // where it was asked for
};

/// By SiteKind.
using LayerStatistics = std::vector<SiteStatistics>;

/// What a recipe asks of calibration beyond ranges.
struct StatisticsDetail {
  bool rows = false;
  bool moments = false;
};

/// The hook: hang it on a block's pass and it takes the input of every site in.
class StatisticsCollector final : public SiteObserver {
 public:
  StatisticsCollector(const Config& config, StatisticsDetail detail);

  /// The rows that come next: every segment is a whole sequence.
  void expect(std::span<const Segment> segments) { segments_.assign(segments.begin(), segments.end()); }

  void see(SiteKind site, MatrixView<const float> x) override;

  [[nodiscard]] LayerStatistics take() { return std::move(statistics_); }

 private:
  StatisticsDetail detail_;
  std::vector<Segment> segments_;
  LayerStatistics statistics_;
};

/// Walks calibration text through a model one layer at a time, so that only one layer's floats are in memory. Every
/// sequence is a row of `sequences`.
class CalibrationPass {
 public:
  CalibrationPass(const WeightSource& source, std::span<const std::vector<int>> sequences, ExecutorReference executor);

  [[nodiscard]] index tokens() const noexcept { return rows_; }

  /// What the next layer reads, tokens × hidden size.
  [[nodiscard]] MatrixView<const float> hidden() { return hidden_.view(rows_, config_->hidden_size); }

  /// Bytes of that.
  [[nodiscard]] std::size_t activation_bytes() const noexcept {
    return static_cast<std::size_t>(rows_ * config_->hidden_size) * sizeof(float);
  }

  /// Runs the next layer of the float model; what its sites saw.
  [[nodiscard]] LayerStatistics next(const LayerWeights& weights, StatisticsDetail detail);

  /// Runs the next layer as it was quantized.
  void next(BlockParameters parameters);

  /// What the sites of the float layer see at this point, without going on.
  [[nodiscard]] LayerStatistics look(const LayerWeights& weights, StatisticsDetail detail);

 private:
  void run(BlockParameters parameters, FloatRows& tokens, StatisticsCollector* collector);

  const Config* config_;
  ExecutorReference executor_;
  Rope rope_;
  std::vector<Segment> segments_;
  index rows_ = 0;
  FloatRows hidden_;  // all tokens × hidden size, before the next layer
  index layer_ = 0;
};

/// Parameters of a block that computes with the weights as they are.
[[nodiscard]] BlockParameters float_parameters(const Config& config, const LayerWeights& weights);

}  // namespace llama
