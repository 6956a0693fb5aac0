// How products by matrix tiles cut columns into chunks and passes, and rows into blocks, and the scratch that it takes.
#include <algorithm>
#include <cstddef>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/tile_plan.hpp>

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("chunks without groups are of nearly equal length, at most 1024 columns, as few as that allows") {
  index wrong = 0;
  for (index columns = 1; columns <= 20000; columns += columns < 6000 ? 1 : 97) {
    const cpu::TilePlan plan(columns, columns, 1);
    const index steps = (columns + 63) / 64;
    wrong += plan.chunks() != (columns + 1023) / 1024;
    wrong += plan.begin(0) != 0 || plan.begin(plan.chunks()) != steps;
    index shortest = steps, longest = 0;
    for (index c = 0; c < plan.chunks(); ++c) {
      shortest = std::min(shortest, plan.begin(c + 1) - plan.begin(c));
      longest = std::max(longest, plan.begin(c + 1) - plan.begin(c));
    }
    wrong += longest > 16 || longest - shortest > 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("groups of weights are chunks of their own, the last as long as what is left") {
  index wrong = 0;
  for (const index group : {64, 128, 192, 576, 1024})
    for (const index columns : {65, 128, 1025, 1091, 5120, 5121, 9000}) {
      if (columns <= group) continue;
      const index groups = (columns + group - 1) / group;
      const cpu::TilePlan plan(columns, group, groups);
      wrong += plan.chunks() != groups;
      for (index g = 0; g <= groups; ++g) wrong += plan.begin(g) != std::min(g * group / 64, (columns + 63) / 64);
    }
  CHECK(wrong == 0);
}

TEST_CASE("up to 5120 columns are one pass, of more a pass takes the chunks that make 80 steps") {
  index wrong = 0;
  const auto check = [&](index columns, index group, index groups, index pass_chunks) {
    const cpu::TilePlan plan(columns, group, groups);
    const index passes = columns <= 5120 ? 1 : (plan.chunks() + pass_chunks - 1) / pass_chunks;
    wrong += plan.passes() != passes;
    for (index p = 0; p <= passes; ++p) wrong += plan.pass_begin(p) != (p == passes ? plan.chunks() : p * pass_chunks);
  };
  for (index columns = 64; columns <= 16384; columns += 64)
    for (const index off : {0, 1}) {
      check(columns + off, columns + off, 1, 5);
      for (const index group : {64, 128, 192, 320, 576, 1024})
        if (columns + off > group) check(columns + off, group, (columns + off + group - 1) / group, 80 / (group / 64));
    }
  CHECK(wrong == 0);
}

TEST_CASE("a block has the most whole pairs of row tiles whose codes of one pass take 1100 KiB, up to 512 rows") {
  index wrong = 0;
  for (index columns = 1; columns <= 12000; ++columns) {
    index rows = 32;
    while (rows + 32 <= 512 && (rows + 32) * (std::min<index>(columns, 5120) + 64) <= 1100 * 1024) rows += 32;
    wrong += cpu::TilePlan::most_rows(columns) != rows;
    wrong += cpu::TilePlan::batch_panels(columns) != (columns <= 5120 ? 1 : 8);
  }
  CHECK(wrong == 0);
}

TEST_CASE("groups are for tiles where they are whole steps and no longer than a chunk") {
  index wrong = 0;
  for (index group = 1; group <= 2048; ++group) {
    wrong += cpu::TilePlan::takes(group, 2) != (group % 64 == 0 && group <= 1024);
    wrong += !cpu::TilePlan::takes(group, 1);
  }
  CHECK(wrong == 0);
  pl::PackedWeightsView w;
  w.group_size = 64;
  CHECK(!cpu::tiles_fit(16, w));  // no columns
  w.columns = 1;
  CHECK(cpu::tiles_fit(16, w));
  CHECK(!cpu::tiles_fit(15, w));
  w.columns = 128;
  CHECK(cpu::tiles_fit(16, w));
  w.group_size = 65;
  CHECK(!cpu::tiles_fit(16, w));
}

TEST_CASE("partial sums wait only between chunks: for the panels of a batch, for each pair of row tiles of a block") {
  using cpu::TileMemory;
  index wrong = 0;
  for (const index rows : {16, 32, 33, 191, 192, 193, 224, 1000})
    for (const index columns : {1, 1024, 1025, 4096, 5120, 5121, 9000})
      for (const index groups : {1, 2, 16}) {
        const index pairs = (std::min(rows, cpu::TilePlan::most_rows(columns)) + 31) / 32;
        const index blocks = groups == 1 && columns <= 1024 ? 0 : (columns <= 5120 ? pairs : 8 * pairs);
        wrong += TileMemory::partial_sums(rows, columns, groups) != blocks * 32 * 32;
      }
  CHECK(wrong == 0);
}

TEST_CASE("the scratch of tiles holds what they take and the sums of groups, and no more than a cache line beyond") {
  index wrong = 0;
  for (const index rows : {16, 31, 32, 100, 191, 192, 193, 600})
    for (const index columns : {1, 64, 1024, 1025, 5120, 5121})
      for (const index groups : {1, 2, 5, 16}) {
        const std::size_t bytes = cpu::tile_scratch_bytes(rows, columns, groups);
        std::vector<std::byte> memory(bytes);
        pl::Workspace workspace(memory);
        const cpu::TileMemory tiles = cpu::TileMemory::take(workspace, rows, columns, groups);
        const index sums = std::min(rows, cpu::TilePlan::most_rows(columns)) * groups;
        wrong += tiles.sums == nullptr || tiles.weights == nullptr;
        wrong += reinterpret_cast<std::byte*>(tiles.partial) - reinterpret_cast<std::byte*>(tiles.sums) < 2 * 4096;
        wrong += workspace.take<std::int32_t>(sums).data() == nullptr;
        wrong += workspace.size() > static_cast<std::size_t>(pl::buffer_alignment);
        wrong += cpu::tile_scratch_bytes(15, columns, groups) != 0;
      }
  CHECK(wrong == 0);
}

}  // namespace
