#pragma once
#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// One stage per block of neighbouring channels (head, expert), all of one type; sizes may differ. Where all blocks are
/// the same map, Kronecker<Identity, Block> holds it once.
template <detail::MustBeStage Block>
class BlockDiagonal {
 public:
  static constexpr const char* name = "block_diagonal";
  static constexpr StageKind kind{.shift = stage_kind<Block>.shift,
                                  .scale = stage_kind<Block>.scale,
                                  .permutation = stage_kind<Block>.permutation,
                                  .orthogonal = stage_kind<Block>.orthogonal,
                                  .within_heads = true};

  /// At least one block.
  explicit BlockDiagonal(std::vector<Block> blocks) : blocks_(std::move(blocks)) {
    for (const Block& block : blocks_) size_ += block.size();
  }

  /// Refuses an empty list.
  [[nodiscard]] static Result<BlockDiagonal> make(std::vector<Block> blocks) {
    if (blocks.empty()) return Status(ErrorCode::invalid_argument, "block_diagonal: needs at least one block");
    return BlockDiagonal(std::move(blocks));
  }

  [[nodiscard]] index size() const noexcept { return size_; }
  [[nodiscard]] std::span<const Block> blocks() const noexcept { return blocks_; }

  [[nodiscard]] index scratch_size(index rows) const noexcept {
    index most = 0;
    for (const Block& block : blocks_) most = std::max<index>(most, block.scratch_size(rows));
    return most;
  }

  template <class T>
  void apply(MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) const noexcept {
    apply_parts(ApplyByReference{}, x, y, scratch);
  }

  /// Block after block by `apply_part(stage, x, y, scratch)`.
  template <class Apply, class T>
  void apply_parts(const Apply& apply_part, MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) const {
    index first = 0;
    for (const Block& block : blocks_) {
      apply_part(block, x.middle_columns(first, block.size()), y.middle_columns(first, block.size()), scratch);
      first += block.size();
    }
  }

  [[nodiscard]] BlockDiagonal<detail::DualOf<Block>> dual() const {
    std::vector<detail::DualOf<Block>> duals;
    duals.reserve(blocks_.size());
    for (const Block& block : blocks_) duals.push_back(block.dual());
    return BlockDiagonal<detail::DualOf<Block>>(std::move(duals));
  }

  /// bias += W z, block by block.
  void fold_bias(MatrixView<const double> w, std::span<double> bias) const requires HasOffset<Block> {
    index first = 0;
    for (const Block& block : blocks_) {
      block.fold_bias(w.middle_columns(first, block.size()), bias);
      first += block.size();
    }
  }

  /// The blocks' matrices in order, all named "block".
  template <class Visitor>
  void for_each_parameter(Visitor&& visitor) const requires HasMatrix<Block> {
    for (const Block& block : blocks_) {
      const index n = block.size();
      const float* matrix = block.template matrix<float>();
      if (matrix != nullptr) visitor("block", std::span<const float>(matrix, static_cast<std::size_t>(n * n)), n, n);
    }
  }

 private:
  std::vector<Block> blocks_;
  index size_ = 0;
};

}  // namespace planish::inline PLANISH_ABI
