#pragma once
#include <memory>
#include <string>
#include <vector>

#include "block.hpp"
#include "device_model.hpp"
#include "head.hpp"
#include "weight_source.hpp"

namespace llama {

/// A whole decoder, ready to run: embedding rows on demand, blocks, the last norm, the head. Immutable once it is known
/// where it runs; any number of sessions may use it.
class Model {
 public:
  /// `mapping` holds what blocks borrow their weights from, and may be null.
  Model(std::shared_ptr<const WeightSource> source, std::vector<Block> blocks, std::vector<float> norm,
        std::shared_ptr<const Head> head, std::shared_ptr<const void> mapping = nullptr);

  [[nodiscard]] const Config& config() const noexcept { return source_->config(); }
  [[nodiscard]] const WeightSource& source() const noexcept { return *source_; }
  [[nodiscard]] const std::vector<Block>& blocks() const noexcept { return blocks_; }
  [[nodiscard]] const Head& head() const noexcept { return *head_; }
  [[nodiscard]] std::shared_ptr<const Head> shared_head() const noexcept { return head_; }

  /// The gain of the last RMSNorm.
  [[nodiscard]] std::span<const float> norm_gain() const noexcept { return norm_; }

  /// Sessions run on `device`, which was made of this model; null: on the CPU.
  void run_on(std::shared_ptr<const DeviceModel> device) noexcept { device_ = std::move(device); }
  [[nodiscard]] const DeviceModel* device() const noexcept { return device_.get(); }

  /// Rows of the embedding; throws Error for ids outside the vocabulary.
  void embed(std::span<const int> ids, MatrixView<float> x) const;

  /// The last RMSNorm.
  void normalise(MatrixView<const float> x, MatrixView<float> y) const;

  /// Bytes of everything a forward pass reads: blocks, head, the embedding where it is not the head, norms.
  [[nodiscard]] std::size_t size_bytes() const;

  /// Bits per weight over all matrices, the head included; scales, zero points and padding counted.
  [[nodiscard]] double bits_per_weight() const;

 private:
  std::shared_ptr<const WeightSource> source_;
  std::shared_ptr<const void> mapping_;
  std::vector<Block> blocks_;
  std::vector<float> norm_;
  std::shared_ptr<const Head> head_;
  std::shared_ptr<const DeviceModel> device_;
};

}  // namespace llama
