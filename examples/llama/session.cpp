#include "session.hpp"

namespace llama {

Session::Session(const Model& model, index sequences, index capacity, ExecutorReference executor)
    : model_(&model), capacity_(capacity), executor_(executor), tokens_(static_cast<std::size_t>(sequences), 0) {
  if (model.device() != nullptr) {
    device_ = model.device()->open(sequences, capacity);
    return;
  }
  rope_ = Rope(model.config(), capacity);
  for (const Block& block : model.blocks()) {
    std::vector<planish::KvCache>& caches = caches_.emplace_back();
    for (index s = 0; s < sequences; ++s) caches.push_back(block.make_cache(capacity));
  }
}

MatrixView<const float> Session::forward(std::span<const Segment> segments, std::span<const int> ids) {
  const auto rows = static_cast<index>(ids.size());
  index covered = 0;
  for (const Segment& segment : segments) {
    covered += segment.rows;
    if (tokens(segment.sequence) + segment.rows > capacity_)
      throw Error("a sequence of " + std::to_string(tokens(segment.sequence) + segment.rows) +
                  " tokens does not fit the session's " + std::to_string(capacity_));
  }
  if (covered != rows)
    throw Error("segments of " + std::to_string(covered) + " rows for " + std::to_string(rows) + " tokens");

  if (device_) {
    const MatrixView<const float> made = device_->forward(segments, tokens_, ids);
    for (const Segment& segment : segments) tokens_[static_cast<std::size_t>(segment.sequence)] += segment.rows;
    return made;
  }
  const auto x = hidden_.view(rows, model_->config().hidden_size);
  model_->embed(ids, x);
  for (std::size_t layer = 0; layer < caches_.size(); ++layer)
    model_->blocks()[layer].forward(x, {.segments = segments,
                                        .caches = caches_[layer],
                                        .rope = &rope_,
                                        .scratch = &scratch_,
                                        .executor = executor_,
                                        .clock = clock_});
  for (const Segment& segment : segments) tokens_[static_cast<std::size_t>(segment.sequence)] += segment.rows;

  const auto normed = normed_.view(rows, x.columns());
  model_->normalise(x, normed);
  return normed;
}

MatrixView<const float> Session::logits(MatrixView<const float> hidden) {
  const Timed timed(clock_, Phase::head);
  if (device_) return device_->logits(hidden);
  const auto out = logits_.view(hidden.rows(), model_->config().vocabulary);
  model_->head().logits(hidden, out, scratch_.workspace, executor_);
  return out;
}

void Session::truncate(index sequence, index tokens) {
  for (auto& caches : caches_) caches[static_cast<std::size_t>(sequence)].truncate(tokens);
  tokens_[static_cast<std::size_t>(sequence)] = std::min(tokens, this->tokens(sequence));
}

}  // namespace llama
