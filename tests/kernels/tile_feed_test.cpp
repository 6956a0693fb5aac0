// Between the products by matrix tiles: the order of the chunks, the weights that are made ready meanwhile, the rows
// that go out meanwhile.
#include <doctest/doctest.h>

#include <planish/kernels/cpu/multiply_amx.hpp>

#include "samples.hpp"

#if defined(PLANISH_HAS_AMX_INT8)
namespace pl = planish;
namespace cpu = planish::kernels::cpu;
namespace isa = planish::kernels::cpu::isa;
using pl::CodeStorage;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("chunks come pass by pass over the panels of a batch, batch by batch, each once") {
  index wrong = 0;
  for (const index columns : {64, 1024, 1025, 5120, 5121, 11000})
    for (const index group : {index{0}, index{128}})
      for (const index batch : {1, 2, 8})
        for (const pl::Range panels : {pl::Range{0, 1}, pl::Range{0, 8}, pl::Range{3, 12}, pl::Range{5, 22}}) {
          const index groups = group == 0 || group >= columns ? 1 : (columns + group - 1) / group;
          const cpu::TilePlan plan(columns, groups == 1 ? columns : group, groups);
          cpu::ChunkCursor at(plan, panels, batch);
          bool more = true;
          for (index first = panels.begin; first < panels.end; first += batch)
            for (index pass = 0; pass < plan.passes(); ++pass)
              for (index panel = first; panel < std::min(first + batch, panels.end); ++panel)
                for (index chunk = plan.pass_begin(pass); chunk < plan.pass_begin(pass + 1); ++chunk) {
                  wrong += !more || at.panel() != panel || at.chunk() != chunk || at.slot() != panel - first;
                  if (more) more = at.advance();
                }
          wrong += more;
        }
  CHECK(wrong == 0);
}

/// After each of `times` calls the chunk is ready in equal steps, after the last one wholly; `ready` makes up for calls
/// that did not come.
template <CodeStorage Storage>
void check_feed(index columns, index group, index times) {
  pl::Random random(static_cast<std::uint64_t>(columns + times));
  const index channels = 40;
  const int bits = Storage == CodeStorage::nibble ? 4 : 7;
  const auto packed =
      pl::PackedWeights::make(samples::codes(channels, columns, bits, pl::Symmetry::symmetric, group, random).view());
  REQUIRE(packed.has_value());
  const pl::PackedWeightsView w = packed->view();
  const cpu::TilePlan plan(w.columns, w.group_size, w.groups());
  const index room = 2 * cpu::TileMemory::chunk_bytes;
  constexpr std::uint8_t untouched = 0xee;  // no stored code of 4 or 7 bits
  std::vector<std::uint8_t> memory(static_cast<std::size_t>(room) + 64, untouched);
  std::uint8_t* const to = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
  cpu::WeightFeed<Storage> feed(w, plan, to);
  cpu::ChunkCursor at(plan, {0, w.panel_count()}, 1);
  index wrong = 0;
  const std::uint8_t* last = nullptr;
  for (bool more = true; more; more = at.advance()) {
    const index begin = plan.begin(at.chunk()), end = plan.begin(at.chunk() + 1);
    const index lines = std::min(end * 16, pl::line_count(columns)) - begin * 16;
    const bool moves = Storage == CodeStorage::nibble || lines % 16 != 0;
    std::fill_n(to, room, untouched);
    feed.start(at, times);
    const auto place = [&](const std::uint8_t* tiles, index line) {
      return tiles + line / 16 * isa::step_bytes + line % 16 * isa::tile_row_bytes<Storage>;
    };
    std::vector<index> done;
    for (index call = 1; call <= times; ++call) {
      feed.some();
      index ready = 0;
      for (index line = 0; line < lines; ++line)
        for (index half = 0; half < 2; ++half)
          ready += *place(to + half * cpu::TileMemory::chunk_bytes, line) != untouched;
      done.push_back(ready);
    }
    const index each = times == 0 ? 0 : (lines + times - 1) / times;
    for (index call = 1; call <= times; ++call)
      wrong += done[static_cast<std::size_t>(call - 1)] != (moves ? std::min(lines, call * each) : 0);
    const std::uint8_t* const tiles = feed.ready();
    wrong += moves != (tiles == to || tiles == to + cpu::TileMemory::chunk_bytes);
    if (moves) wrong += tiles == last;  // the chunk before is still being read
    last = tiles;
    for (index step = begin; step < end; ++step)
      for (index k = 0; k < 64; ++k)
        for (index c = 0; c < 32; ++c) {
          const index line = (step - begin) * 16 + k / 4, column = step * 64 + k;
          const std::uint8_t* row = place(tiles, line) + c / 16 * isa::second_tile_offset<Storage>;
          const index stored_column = line < lines ? column : 0;
          const int stored = pl::stored_value(
              Storage, w.panels,
              pl::panel_position(Storage, at.panel() * 32 + c, stored_column, pl::line_count(columns) * 4));
          wrong += row[c % 16 * 4 + k % 4] != (line < lines ? stored : 0);
        }
  }
  INFO("columns ", columns, " group ", group, " times ", times);
  CHECK(wrong == 0);
}

TEST_CASE("weights get ready in even steps, zeros behind the row, and never over those that are being read") {
  for (const index times : {0, 1, 2, 3, 7, 16, 100, 300}) {
    for (const index columns : {1, 4, 60, 64, 65, 129, 1024, 1090}) {
      check_feed<CodeStorage::nibble>(columns, 0, times);
      check_feed<CodeStorage::byte>(columns, 0, times);
    }
    check_feed<CodeStorage::nibble>(300, 128, times);
    check_feed<CodeStorage::byte>(300, 128, times);
  }
}

TEST_CASE("pairs of row tiles own every row once, and read none that is not there") {
  index wrong = 0;
  for (index rows = 16; rows <= 130; ++rows) {
    std::vector<int> owners(static_cast<std::size_t>(rows));
    for (index pair = 0; pair < (rows + 31) / 32; ++pair) {
      const cpu::RowPair p = cpu::RowPair::of(pair, rows);
      wrong += p.upper < 0 || p.upper + 16 > rows || p.lower < 0 || p.lower + 16 > rows;
      wrong += p.whole != (pair * 32 + 16 < rows);
      wrong += p.height() != (p.whole ? 32 : 16);
      for (index line = 0; line < p.height(); ++line) {
        const index row = p.row(line), reads = line < 16 ? p.upper + line : p.lower + line - 16;
        wrong += row != reads && row != -1;
        if (row >= 0 && row < rows) ++owners[static_cast<std::size_t>(row)];
      }
    }
    for (const int count : owners) wrong += count != 1;
  }
  CHECK(wrong == 0);
}

struct Finished {
  std::vector<index>* rows;
  const std::int32_t* sums;
  const std::int32_t* partial;
  index* wrong;
  cpu::RowPair pair;

  void finish(index row, const std::int32_t* s, std::int32_t* p) const {
    const index line = (s - sums) / 32;
    *wrong += pair.row(line) != row || (s - sums) % 32 != 0 || p - partial != s - sums;
    rows->push_back(line);
  }
};

TEST_CASE("a finished block goes out as many lines at a time as asked, each once, in order") {
  index wrong = 0;
  std::vector<std::int32_t> sums(32 * 32), partial(32 * 32);
  for (const index rows : {16, 17, 31, 32, 40, 48, 49, 64})
    for (index number = 0; number < (rows + 31) / 32; ++number)
      for (const index lines : {1, 2, 3, 7, 16, 32, 40}) {
        const cpu::RowPair pair = cpu::RowPair::of(number, rows);
        std::vector<index> out;
        cpu::FinishedBlock<Finished> block({&out, sums.data(), partial.data(), &wrong, pair}, pair, sums.data(),
                                           partial.data());
        std::vector<index> expected;
        for (index turn = 0; turn * lines < 70; ++turn) {
          block.some(lines);
          for (index line = turn * lines; line < std::min((turn + 1) * lines, pair.height()); ++line)
            if (pair.row(line) >= 0) expected.push_back(line);
          wrong += out != expected;
        }
      }
  CHECK(wrong == 0);
}

}  // namespace
#endif
