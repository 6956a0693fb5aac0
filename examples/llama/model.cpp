#include "model.hpp"

#include <planish/backend/default.hpp>

namespace llama {

Model::Model(std::shared_ptr<const WeightSource> source, std::vector<Block> blocks, std::vector<float> norm,
             std::shared_ptr<const Head> head, std::shared_ptr<const void> mapping)
    : source_(std::move(source)),
      mapping_(std::move(mapping)),
      blocks_(std::move(blocks)),
      norm_(std::move(norm)),
      head_(std::move(head)) {}

void Model::embed(std::span<const int> ids, MatrixView<float> x) const {
  const MatrixShape shape{config().vocabulary, config().hidden_size};
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= shape.rows)
      throw Error(source_->path() + ": token id " + std::to_string(ids[i]) + " is not in the vocabulary of " +
                  std::to_string(shape.rows));
    source_->read_rows("embedding", shape, ids[i], 1, x.row(static_cast<index>(i)));
  }
}

void Model::normalise(MatrixView<const float> x, MatrixView<float> y) const {
  rms_norm(planish::DefaultBackend{}, x, norm_.data(), config().norm_epsilon, y);
}

std::size_t Model::size_bytes() const {
  std::size_t bytes = norm_.size() * sizeof(float) + head_->linear().size_bytes();
  if (!config().tied_head) bytes += source_->stored_bytes("embedding");
  for (const Block& block : blocks_) bytes += block.size_bytes();
  return bytes;
}

double Model::bits_per_weight() const {
  double bits = 0.0, weights = 0.0;
  const auto count = [&](const planish::AnyLinear& linear) {
    const double elements = static_cast<double>(linear.rows()) * static_cast<double>(linear.columns());
    weights += elements;
    bits += elements * linear.bits_per_weight();
  };
  for (const Block& block : blocks_)
    for (Projection p : projections) count(block.linear(p));
  count(head_->linear());
  return bits / weights;
}

}  // namespace llama
