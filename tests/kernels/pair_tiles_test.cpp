// Products of bfloat16 in matrix tiles: how sums wait in tiles, and which results of a transform stay.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <planish/backend/enable_amx.hpp>
#include <planish/kernels/cpu/kronecker_tiles.hpp>

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

#if defined(PLANISH_HAS_AMX_BF16)
namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

/// A left operand of ones and a right one whose column c is `factor` · (c + 1), for products in which both fill their
/// tiles; the result, rows `beyond` floats farther apart than they are long, starts as −1.
struct Product {
  static constexpr std::uint32_t one = 0x3f803f80u;

  Product(index height, index blocks, index tiles, index beyond, int factor)
      : height_(height),
        blocks_(blocks),
        tiles_(tiles),
        stride_(tiles * 16 + beyond),
        factor_(factor),
        a_(static_cast<std::size_t>(blocks * height)),
        b_(static_cast<std::size_t>(blocks * tiles * 16)),
        c_(static_cast<std::size_t>(height * stride_), -1.0f) {
    for (pl::PairLine& line : a_)
      for (std::uint32_t& word : line.words) word = one;
    for (index block = 0; block < blocks; ++block)
      for (index tile = 0; tile < tiles; ++tile)
        for (index pair = 0; pair < 16; ++pair)
          for (index c = 0; c < 16; ++c) {
            const auto value = static_cast<float>(factor * (tile * 16 + c + 1));
            const std::uint32_t term = std::bit_cast<std::uint32_t>(value) >> 16;
            b_[static_cast<std::size_t>((block * tiles + tile) * 16 + pair)].words[c] = term << 16 | term;
          }
  }
  [[nodiscard]] cpu::isa::PairProduct view() { return {a_.data(), b_.data(), blocks_, tiles_, c_.data(), stride_}; }
  [[nodiscard]] bool is_untouched() const {
    index touched = 0;
    for (const float value : c_) touched += value == -1.0f ? 0 : 1;
    return touched == 0;
  }
  [[nodiscard]] bool is_there() const {
    index wrong = 0;
    for (index r = 0; r < height_; ++r)
      for (index c = 0; c < stride_; ++c) {
        const float expected = c < tiles_ * 16 ? static_cast<float>(32 * blocks_ * factor_ * (c + 1)) : -1.0f;
        wrong += c_[static_cast<std::size_t>(r * stride_ + c)] == expected ? 0 : 1;
      }
    return wrong == 0;
  }

 private:
  index height_, blocks_, tiles_, stride_;
  int factor_;
  std::vector<pl::PairLine> a_, b_;
  std::vector<float> c_;
};

TEST_CASE("a queue of tile products: any number of column tiles, blocks and rows, with others under way") {
  if (!pl::enable_amx()) return;
  for (const index height : {2, 8, 14, 16})
    for (const index blocks : {1, 2, 3}) {
      cpu::isa::PairTileQueue queue(height);
      for (index tiles = 1; tiles <= 13; ++tiles) {
        CAPTURE(height);
        CAPTURE(blocks);
        CAPTURE(tiles);
        Product first(height, blocks, std::min<index>(tiles, 2), 5, 1), second(height, 1, 1, 9, 1),
            wide(height, blocks, tiles, 3, 1);
        queue.multiply(first.view());
        queue.multiply(second.view(), true);
        queue.multiply(wide.view());
        queue.finish();
        CHECK(first.is_there());
        CHECK(second.is_there());
        CHECK(wide.is_there());
      }
    }
}

TEST_CASE(
    "sums of one or two column tiles stay in tiles until these are needed again, those of two operands by turns") {
  if (!pl::enable_amx()) return;
  for (const index tiles : {1, 2})
    for (const index others : {1, 2}) {
      CAPTURE(tiles);
      CAPTURE(others);
      Product a(16, 2, tiles, 1, 1), b(16, 1, others, 4, 2), c(16, 3, tiles, 0, 1), d(16, 1, others, 7, 3);
      cpu::isa::PairTileQueue queue(16);
      queue.multiply(a.view());
      CHECK(a.is_untouched());
      queue.multiply(b.view(), true);
      CHECK(a.is_untouched());
      CHECK(b.is_untouched());
      queue.multiply(c.view());
      CHECK(a.is_there());
      CHECK(b.is_untouched());
      CHECK(c.is_untouched());
      queue.multiply(d.view(), true);
      CHECK(b.is_there());
      CHECK(c.is_untouched());
      CHECK(d.is_untouched());
      queue.finish();
      CHECK(c.is_there());
      CHECK(d.is_there());
    }
}

TEST_CASE("results of a Kronecker product in tiles stay while the next is made, up to 2048 elements") {
  if (!pl::enable_amx()) return;
  struct Case {
    index n1, n2;
    bool stays;
  };
  for (const Case& c : {Case{1, 1, true},
                        {24, 24, true},
                        {32, 64, true},
                        {64, 32, true},
                        {1, 2048, true},
                        {683, 3, false},
                        {3, 683, false},
                        {33, 63, false},
                        {64, 64, false}}) {
    CAPTURE(c.n1);
    CAPTURE(c.n2);
    std::vector<float> scratch(
        static_cast<std::size_t>(planish::kernels::reference::kronecker_bfloat16_scratch_size(c.n1, c.n2)));
    pl::Bfloat16FactorsView factors;
    factors.n1 = c.n1;
    factors.n2 = c.n2;
    CHECK(cpu::KroneckerTiles(factors, scratch).keeps_results() == c.stays);
  }
}

}  // namespace
#endif
