#pragma once
// What FlatQuant (arXiv 2410.09426) learns for one transformer block, as plain values: what its calibration makes,
// files hold and a host folds into its weights.
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/scheme.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// The inputs that matrices of a block share, in the order the data meets them: of q, k and v; of o; of gate and up; of
/// down.
enum class BlockSite : std::uint8_t { attention, output, mlp, down };
inline constexpr std::size_t block_sites = 4;

/// The matrices of a block, in the order the data meets them.
enum class BlockMatrix : std::uint8_t { query, key, value, output, gate, up, down };
inline constexpr std::size_t block_matrices = 7;

/// An invertible n × n matrix A and its inverse transpose A⁻ᵀ, row-major; both empty: the identity. Rows meet x A, rows
/// of weights w A⁻ᵀ.
struct MatrixPair {
  std::vector<float> matrix;
  std::vector<float> inverse_transpose;

  [[nodiscard]] bool empty() const noexcept { return matrix.empty() && inverse_transpose.empty(); }
  friend bool operator==(const MatrixPair&, const MatrixPair&) = default;
};

/// What the input of a site meets, ((x − shift) ⊙ scale)(left ⊗ right) with the row reshaped n₁ × n₂; its dual is in
/// the weights, and shift times the weights in a bias. At `output` the left factor mixes query heads and the right one,
/// of the head size, is what v brings in its rows (P_v); there is no scale there, and `shift` is of channels before P_v.
struct FlatQuantTransform {
  std::vector<float> shift;  // z, of the model's own channels; empty: none
  std::vector<float> scale;  // c, all positive: a norm's gain or the rows of up absorb it; empty: none
  MatrixPair left, right;    // n₁ × n₁, n₂ × n₂

  friend bool operator==(const FlatQuantTransform&, const FlatQuantTransform&) = default;
};

/// Learned clips of one matrix, as factors in (0, 1].
struct FlatQuantClips {
  /// Per output row: after the transform of its input, and before anything that acts on its output, the row is clamped
  /// to [negative · min, positive · max] (see clip_rows). Empty: weights are not clipped.
  std::vector<ClipPair> weight_rows;
  /// Of the transformed input as this matrix reads it. Matrices of a site whose pairs are equal share one quantized
  /// input.
  ClipPair activation;

  friend bool operator==(const FlatQuantClips&, const FlatQuantClips&) = default;
};

/// Weights that were learned: values of codes, out × in, row-major. As they are behind the transform of their input,
/// their clips and the factor that v's rows carry, but before the scale that up's rows take from `down`.
struct FlatQuantWeights {
  index rows = 0, columns = 0;
  std::vector<float> values;

  [[nodiscard]] bool empty() const noexcept { return values.empty(); }
  friend bool operator==(const FlatQuantWeights&, const FlatQuantWeights&) = default;
};

/// Everything that is learned for one block. Rows of q and k (`weight_rows`, `weights`) and channels of `key_head` are
/// in the order of `rotate_half`, where RoPE turns channels i and i + size / 2 together.
struct FlatQuantParameters {
  std::array<FlatQuantTransform, block_sites> transforms;  // by BlockSite
  std::array<FlatQuantClips, block_matrices> clips;        // by BlockMatrix
  MatrixPair key_head;              // P_k: of every head after RoPE, keys k P_k and queries q P_k⁻ᵀ; empty: none
  ClipPair key_cache, value_cache;  // of cached keys and values, per token and head
  std::array<FlatQuantWeights, block_matrices> weights;  // by BlockMatrix; empty: the model's own are rounded

  [[nodiscard]] FlatQuantTransform& transform(BlockSite site) { return transforms[static_cast<std::size_t>(site)]; }
  [[nodiscard]] const FlatQuantTransform& transform(BlockSite site) const {
    return transforms[static_cast<std::size_t>(site)];
  }
  [[nodiscard]] FlatQuantClips& clips_of(BlockMatrix matrix) { return clips[static_cast<std::size_t>(matrix)]; }
  [[nodiscard]] const FlatQuantClips& clips_of(BlockMatrix matrix) const {
    return clips[static_cast<std::size_t>(matrix)];
  }
  [[nodiscard]] FlatQuantWeights& weights_of(BlockMatrix matrix) { return weights[static_cast<std::size_t>(matrix)]; }
  [[nodiscard]] const FlatQuantWeights& weights_of(BlockMatrix matrix) const {
    return weights[static_cast<std::size_t>(matrix)];
  }

  friend bool operator==(const FlatQuantParameters&, const FlatQuantParameters&) = default;
};

}  // namespace planish::inline PLANISH_ABI::calibration
