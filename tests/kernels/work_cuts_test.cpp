// How the products of rows and panels cut their work: blocks of rows, runs, register tiles, scratch.
#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/float_product.hpp>
#include <planish/kernels/cpu/integer_tiles.hpp>
#include <planish/kernels/cpu/multiply_weight_only.hpp>
#include <planish/kernels/cpu/panel_product.hpp>
#include <planish/kernels/cpu/register_tiles.hpp>
#include <planish/kernels/cpu/rounded_product.hpp>
#include <planish/kernels/cpu/scratch.hpp>
#include <planish/kernels/cpu/small_product.hpp>

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("runs are as few as their bound allows, follow each other, and the first ones are one longer") {
  index wrong = 0;
  for (index items = 0; items <= 60; ++items)
    for (index most = 1; most <= 20; ++most) {
      std::vector<index> lengths;
      index end = 0;
      cpu::for_each_run(items, most, [&](pl::Range run) {
        wrong += run.begin != end;
        end = run.end;
        lengths.push_back(run.end - run.begin);
      });
      wrong += end != items || static_cast<index>(lengths.size()) != (items + most - 1) / most;
      wrong += !std::is_sorted(lengths.rbegin(), lengths.rend());
      wrong += !lengths.empty() && lengths.front() - lengths.back() > 1;
    }
  CHECK(wrong == 0);
}

TEST_CASE("a block of rows is the largest whose codes take 1280 KiB, between 48 and 192 rows") {
  index wrong = 0;
  for (index bytes = 0; bytes <= 40000; ++bytes) {
    index rows = 48;
    while (rows < 192 && (rows + 1) * bytes <= 1280 * 1024) ++rows;
    wrong += cpu::integer_block_rows(bytes) != rows;
  }
  CHECK(wrong == 0);
}

TEST_CASE("nibbles are expanded from 96 rows on, with group scales from 36, at most 1024 columns at a time") {
  CHECK(cpu::least_rows_to_expand(1) == 96);
  for (const index groups : {0, 2, 3, 50}) CHECK(cpu::least_rows_to_expand(groups) == 36);
  CHECK(cpu::expanded_bytes(0) == 0);
  CHECK(cpu::expanded_bytes(1) == 128);
  CHECK(cpu::expanded_bytes(4) == 128);
  CHECK(cpu::expanded_bytes(5) == 256);
  CHECK(cpu::expanded_bytes(1024) == 256 * 128);
  CHECK(cpu::expanded_bytes(9999) == 256 * 128);
}

TEST_CASE("copied rows of activations are an odd number of cache lines apart, the least that holds them") {
  index wrong = 0;
  for (index columns = 1; columns <= 600; ++columns) {
    index lines = 1;
    while (lines * 16 < columns) lines += 2;
    wrong += cpu::copied_row_stride(columns) != lines * 16;
  }
  CHECK(wrong == 0);
}

TEST_CASE("the scratch of a product is what its longer way needs for a block of 192 rows, and a cache line") {
  index wrong = 0;
  const auto lines = [](index elements) { return static_cast<std::size_t>((elements * 4 + 63) / 64 * 64); };
  for (const index rows : {0, 1, 35, 36, 95, 96, 191, 192, 193, 1000})
    for (const index columns : {0, 1, 16, 17, 511, 512, 513, 1024, 1025, 8192})
      for (const index groups : {0, 1, 2, 64, 8192}) {
        const index block = std::min<index>(rows, 192), depth = std::min<index>(columns, 512);
        const std::size_t integers =
            lines(block * groups) + lines(block * 32) +
            (rows < (groups == 1 ? 96 : 36) ? 0
                                            : static_cast<std::size_t>((std::min<index>(columns, 1024) + 3) / 4 * 128));
        const std::size_t floats =
            lines(block * cpu::copied_row_stride(depth)) + lines(block * 32 * 8) + lines(depth * 32);
        wrong += cpu::multiply_scratch_bytes(rows, columns, groups) != std::max(integers, floats) + 64;
      }
  CHECK(wrong == 0);
}

TEST_CASE("few rows add lines up in several sets of sums, in turn") {
  CHECK(cpu::tile_depth(1) == 4);
  for (const int rows : {2, 3, 4}) CHECK(cpu::tile_depth(rows) == 2);
  for (const int rows : {5, 6, 12}) CHECK(cpu::tile_depth(rows) == 1);
  for (const int rows : {1, 2}) CHECK(cpu::register_depth(rows) == 2);
  for (const int rows : {3, 4, 12}) CHECK(cpu::register_depth(rows) == 1);
  CHECK(cpu::float_tile_vectors(1) == cpu::panel_vectors);
  for (const int rows : {2, 3, 12}) CHECK(cpu::float_tile_vectors(rows) == 2);
}

TEST_CASE("a mask of activations holds the bytes between its ends") {
  for (index begin = 0; begin <= 4; ++begin)
    for (index end = begin; end <= 4; ++end) {
      const auto mask = static_cast<std::uint32_t>(cpu::four_mask(begin, end));
      for (index i = 0; i < 4; ++i) CHECK((mask >> (8 * i) & 255) == (i >= begin && i < end ? 255u : 0u));
    }
}

TEST_CASE("vectors are cut into panels as few as can be, none of them narrow where there are enough") {
  const index most = cpu::most_panel_vectors;
  index wrong = 0;
  for (index vectors = 1; vectors <= 50; ++vectors) {
    index panels = 0, narrowest = most, left = vectors;
    for (; left > 0; ++panels) {
      const index width = cpu::panel_vectors_of(left);
      wrong += width < 1 || width > std::min(left, most);
      narrowest = std::min(narrowest, width);
      left -= std::max<index>(width, 1);
    }
    wrong += panels != (vectors + most - 1) / most;
    if (most == 4) wrong += narrowest < (vectors >= 6 ? 3 : vectors == 5 ? 2 : vectors);
  }
  CHECK(wrong == 0);
  for (index columns = 0; columns <= 100; ++columns) {
    index filled = 0;
    while (filled < columns) filled += cpu::float_lanes;
    wrong += cpu::panel_columns(columns) != filled;
  }
  CHECK(wrong == 0);
}

TEST_CASE("the tallest tiles: sums, a row of the other factor and one element fill the registers") {
#if defined(__AVX512F__)
  const int heights[] = {16, 14, 8, 6};
#elif defined(__aarch64__)
  const int heights[] = {16, 12, 8, 6};
#else
  const int heights[] = {8, 6};
#endif
  int vectors = 0;
  for (const int height : heights) CHECK(cpu::detail::panel_tile_rows(++vectors) == cpu::tile_rows(height));
  CHECK(vectors == cpu::most_panel_vectors);
  CHECK(cpu::detail::product_tile_rows == (cpu::float_lanes == 16 ? 8 : 6));
  CHECK(cpu::detail::product_tile_vectors == (cpu::float_lanes == 16 ? 3 : 2));
  CHECK(cpu::detail::product_tall_rows == (cpu::float_lanes == 16 ? 12 : 6));
  CHECK(cpu::most_rows_in_registers == cpu::tile_rows(cpu::panel_vectors <= 2 ? 8 : cpu::panel_vectors <= 4 ? 3 : 1));
}

TEST_CASE("a block of the float products is the strips that 512 rows touch, its scratch a panel of a run of terms") {
  CHECK(cpu::product_block_strips == 512 / cpu::product_strip_rows + 1);
  CHECK(cpu::rounded_block_strips == 512 / cpu::rounded_strip_rows + 1);
  CHECK(cpu::product_scratch_size == 32 * 384);
  CHECK(cpu::rounded_scratch_size == 32 * 256);
  for (index terms = 0; terms <= 9; ++terms) CHECK(cpu::rounded_pairs(terms) == (terms + terms % 2) / 2);
}

TEST_CASE("what is asked for ahead moves on by what was asked, and ends with what there is") {
  const std::vector<float> memory(16 * 10);
  for (const bool near : {false, true})
    for (const index count : {0, 1, 3, 4, 9, 10, 11}) {
      cpu::AheadLines ahead{memory.data(), 10, near};
      index asked = 0;
      for (int turn = 0; turn < 4; ++turn) {
        ahead.ask(count);
        asked = std::min<index>(10, asked + count);
        CHECK(ahead.lines == 10 - asked);
        CHECK(ahead.from == memory.data() + asked * 16);
      }
    }
}

}  // namespace
