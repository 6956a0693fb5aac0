#include "statistics.hpp"

#include <algorithm>

namespace llama {

StatisticsCollector::StatisticsCollector(const Config& config, StatisticsDetail detail) : detail_(detail) {
  for (SiteKind site : site_kinds) {
    SiteStatistics& statistics = statistics_.emplace_back(channels_at(site, config));
    if (detail.moments) statistics.moment.emplace(channels_at(site, config));
  }
}

void StatisticsCollector::see(SiteKind site, MatrixView<const float> x) {
  SiteStatistics& statistics = statistics_[static_cast<std::size_t>(site)];
  require(statistics.range.observe(x), to_string(site));
  if (statistics.moment) require(statistics.moment->observe(x), to_string(site));
  index row = 0;
  for (const Segment& segment : segments_) {
    statistics.typical.observe(x.middle_rows(row, segment.rows));
    if (detail_.rows) statistics.starts.push_back(static_cast<index>(statistics.rows.size()) / x.columns() + row);
    row += segment.rows;
  }
  if (detail_.rows)
    for (index r = 0; r < x.rows(); ++r)
      statistics.rows.insert(statistics.rows.end(), x.row(r), x.row(r) + x.columns());
}

BlockParameters float_parameters(const Config& config, const LayerWeights& weights) {
  BlockParameters parameters;
  parameters.attention_gain = weights.attention_gain;
  parameters.mlp_gain = weights.mlp_gain;
  parameters.query_gain = weights.query_gain;
  parameters.key_gain = weights.key_gain;
  for (SiteKind site : site_kinds)
    parameters.sites[static_cast<std::size_t>(site)].online =
        planish::AnyTransform::identity(channels_at(site, config));
  parameters.key = parameters.query = planish::AnyTransform::identity(config.head_size);
  for (std::size_t i = 0; i < projections.size(); ++i) {
    parameters.linears[i].weights = weights.matrices[i];
    parameters.linears[i].bias = weights.biases[i];
  }
  return parameters;
}

CalibrationPass::CalibrationPass(const WeightSource& source, std::span<const std::vector<int>> sequences,
                                 ExecutorReference executor)
    : config_(&source.config()), executor_(executor) {
  std::size_t longest = 0;
  for (const std::vector<int>& sequence : sequences) {
    segments_.push_back({static_cast<index>(segments_.size()), static_cast<index>(sequence.size())});
    rows_ += segments_.back().rows;
    longest = std::max(longest, sequence.size());
  }
  rope_ = Rope(*config_, static_cast<index>(longest));
  const auto hidden = hidden_.view(rows_, config_->hidden_size);
  index row = 0;
  for (const std::vector<int>& sequence : sequences)
    for (int id : sequence)
      source.read_rows("embedding", {config_->vocabulary, config_->hidden_size}, id, 1, hidden.row(row++));
}

LayerStatistics CalibrationPass::next(const LayerWeights& weights, StatisticsDetail detail) {
  StatisticsCollector collector(*config_, detail);
  run(float_parameters(*config_, weights), hidden_, &collector);
  ++layer_;
  return collector.take();
}

void CalibrationPass::next(BlockParameters parameters) {
  run(std::move(parameters), hidden_, nullptr);
  ++layer_;
}

LayerStatistics CalibrationPass::look(const LayerWeights& weights, StatisticsDetail detail) {
  FloatRows copy;
  const MatrixView<const float> hidden = hidden_.view(rows_, config_->hidden_size);
  std::copy_n(hidden.data(), hidden.size(), copy.view(rows_, config_->hidden_size).data());
  StatisticsCollector collector(*config_, detail);
  run(float_parameters(*config_, weights), copy, &collector);
  return collector.take();
}

void CalibrationPass::run(BlockParameters parameters, FloatRows& tokens, StatisticsCollector* collector) {
  constexpr index most_rows = 2048;  // of a batch, so that the buffers stay small
  const Block block(*config_, std::move(parameters), planish::SiteMode::packed, "layer " + std::to_string(layer_));
  const auto hidden = tokens.view(rows_, config_->hidden_size);
  BlockScratch scratch;  // not kept: between two layers others need the memory
  index row = 0;
  for (std::size_t first = 0; first < segments_.size();) {
    std::vector<Segment> batch;
    std::vector<planish::KvCache> caches;
    index rows = 0;
    while (first < segments_.size() && (batch.empty() || rows + segments_[first].rows <= most_rows)) {
      batch.push_back({static_cast<index>(batch.size()), segments_[first].rows});
      caches.push_back(block.make_cache(segments_[first].rows));
      rows += segments_[first++].rows;
    }
    if (collector != nullptr) collector->expect(batch);
    block.forward(hidden.middle_rows(row, rows), {.segments = batch,
                                                  .caches = caches,
                                                  .rope = &rope_,
                                                  .scratch = &scratch,
                                                  .executor = executor_,
                                                  .observer = collector});
    row += rows;
  }
}

}  // namespace llama
