#pragma once
// The factors of a Kronecker product as terms of bfloat16: as floats, and in the tiles that matrix units read.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/bfloat16_term.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI {

/// 32 terms, two to a word.
struct alignas(64) PairLine {
  std::uint32_t words[16];
};

/// How rows of n₁ × n₂ are cut into tiles of at most 16 lines. Left operands of a product have a line for each row and
/// block of 32 terms; right operands a line for each pair of terms and 16 columns.
struct PairTiles {
  index n1, n2;

  [[nodiscard]] static constexpr index blocks(index terms) noexcept { return (terms + 31) / 32; }
  [[nodiscard]] static constexpr index column_tiles(index columns) noexcept { return (columns + 15) / 16; }
  /// Tiles of a matrix of so many rows, and their height: the same for all, even, with few rows to spare.
  [[nodiscard]] static constexpr index row_tiles(index rows) noexcept { return (rows + 15) / 16; }
  [[nodiscard]] static constexpr index height(index rows) noexcept { return divide_up(rows, 2 * row_tiles(rows)) * 2; }

  [[nodiscard]] constexpr index left_lines() const noexcept { return row_tiles(n1) * height(n1) * blocks(n1); }
  [[nodiscard]] constexpr index right_lines() const noexcept { return blocks(n2) * column_tiles(n2) * 16; }
  /// Floats from row to row of a matrix of n₂ columns that is filled up to whole tiles.
  [[nodiscard]] constexpr index stride() const noexcept { return column_tiles(n2) * 16; }
};

/// Both factors where they lie; a null pointer stands for the identity.
struct Bfloat16FactorsView {
  index n1 = 0, n2 = 0;
  const float* left = nullptr;            ///< n₁ × n₁ terms, row-major
  const float* right = nullptr;           ///< n₂ rows of terms, PairTiles::stride apart, filled up with zeros
  const PairLine* left_tiles = nullptr;   ///< tile by tile of Lᵀ, block by block, a line for each row
  const PairLine* right_tiles = nullptr;  ///< block by block, tile by tile of 16 columns, a line for each pair of rows
};

/// The factors L (n₁ × n₁) and R (n₂ × n₂), rounded to terms and packed once.
class Bfloat16Factors {
 public:
  /// Row-major; null for the identity.
  PLANISH_LAZY Bfloat16Factors(index n1, index n2, const float* left, const float* right) : n1_(n1), n2_(n2) {
    if (left != nullptr) pack_left(left);
    if (right != nullptr) pack_right(right);
  }

  [[nodiscard]] Bfloat16FactorsView view() const noexcept {
    return {n1_,
            n2_,
            left_.empty() ? nullptr : left_.data(),
            right_.empty() ? nullptr : right_.data(),
            left_tiles_.data(),
            right_tiles_.data()};
  }

 private:
  [[nodiscard]] PairTiles tiles() const noexcept { return {n1_, n2_}; }

  static void set_term(PairLine& line, index term, float value) noexcept {
    const index word = term / 2, shift = term % 2 * 16;
    line.words[word] |= static_cast<std::uint32_t>(BFloat16::from_float(value).bits) << shift;
  }

  PLANISH_LAZY void pack_left(const float* left) {
    const index height = PairTiles::height(n1_), blocks = PairTiles::blocks(n1_);
    left_ = Array<float>(left, left + n1_ * n1_);
    for (float& value : left_) value = bfloat16_term(value);
    left_tiles_ = Array<PairLine>(static_cast<std::size_t>(tiles().left_lines()), PairLine{});
    for (index k = 0; k < n1_; ++k)
      for (index i = 0; i < n1_; ++i) {
        const index line = (i / height * blocks + k / 32) * height + i % height;
        set_term(left_tiles_[static_cast<std::size_t>(line)], k % 32, left_[static_cast<std::size_t>(k * n1_ + i)]);
      }
  }

  PLANISH_LAZY void pack_right(const float* right) {
    const index stride = tiles().stride(), columns = PairTiles::column_tiles(n2_);
    right_ = Array<float>(static_cast<std::size_t>(n2_ * stride), 0.0f);
    right_tiles_ = Array<PairLine>(static_cast<std::size_t>(tiles().right_lines()), PairLine{});
    for (index k = 0; k < n2_; ++k)
      for (index j = 0; j < n2_; ++j) {
        const float term = bfloat16_term(right[k * n2_ + j]);
        right_[static_cast<std::size_t>(k * stride + j)] = term;
        const index line = (k / 32 * columns + j / 16) * 16 + k % 32 / 2;
        set_term(right_tiles_[static_cast<std::size_t>(line)], j % 16 * 2 + k % 2, term);
      }
  }

  index n1_, n2_;
  Array<float> left_, right_;
  Array<PairLine> left_tiles_, right_tiles_;
};

}  // namespace planish::inline PLANISH_ABI
