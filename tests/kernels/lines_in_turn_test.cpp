// In which order the integer products read the lines of a panel, how many rows meet them at once, and over how many
// sets of sums they add up: an instruction set that writes down what it is asked for.
#include <algorithm>
#include <bit>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/isa/portable.hpp>
#include <planish/kernels/cpu/plain_product.hpp>
#include <planish/kernels/reference/multiply.hpp>

#include "samples.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;
namespace reference = planish::kernels::reference;
using pl::CodeStorage;
using pl::Symmetry;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

/// A line that was read, or a run of lines that was expanded.
struct Event {
  bool expands;
  index line, count;  // count: rows that met the line, or lines of the run

  friend bool operator==(const Event&, const Event&) = default;
};

struct Notes {
  const std::uint8_t* panels = nullptr;  // where lines lie
  const std::uint8_t* expanded = nullptr;
  index line_bytes = 0, first_expanded = 0;
  std::vector<Event> events;
  int longest_chain = 0, pairs = 0;

  [[nodiscard]] index line_of(const std::uint8_t* at) const {
    return expanded == nullptr ? (at - panels) / line_bytes : first_expanded + (at - expanded) / 128;
  }
};

Notes notes;

/// One load takes a whole line.
template <CodeStorage Storage>
struct NotedDots {
  static constexpr index load_bytes = pl::line_bytes(Storage);
  static constexpr index most_columns = index{1} << 17;
  static constexpr int loads_per_tile(int /*rows*/) noexcept { return 1; }

  using Weights = const std::uint8_t*;
  using Activations = std::int32_t;
  struct Sums {
    std::int32_t values[pl::panel_width];
    int chain;  // additions of which each waits for the one before
  };

  [[gnu::noinline]] static Weights load(const std::uint8_t* line) {
    notes.events.push_back({false, notes.line_of(line), 0});
    return line;
  }
  [[gnu::noinline]] static Activations broadcast(std::int32_t four) {
    ++notes.events.back().count;
    return four;
  }
  static Sums zero() { return {}; }
  [[gnu::noinline]] static void add(Sums& sums, Weights line, Activations four) {
    for (index c = 0; c < pl::panel_width; ++c)
      for (index k = 0; k < 4; ++k)
        sums.values[c] += pl::stored_value(Storage, line, pl::panel_position(Storage, c, k, 4)) *
                          static_cast<std::int8_t>(static_cast<std::uint32_t>(four) >> (8 * k));
    ++sums.chain;
  }
  [[gnu::noinline]] static void merge(Sums& sums, const Sums& other) {
    for (index c = 0; c < pl::panel_width; ++c) sums.values[c] += other.values[c];
    sums.chain = std::max(sums.chain, other.chain) + 1;
  }
  [[gnu::noinline]] static void store(const Sums& sums, std::int32_t* panel, int /*load*/) {
    std::copy_n(sums.values, pl::panel_width, panel);
    notes.longest_chain = std::max(notes.longest_chain, sums.chain);
  }
  [[gnu::noinline]] static Sums start(const std::int32_t* at) {
    Sums sums{};
    std::fill_n(sums.values, pl::panel_width, *at);
    return sums;
  }
  [[gnu::noinline]] static Sums resume(const std::int32_t* panel, int /*load*/) {
    Sums sums{};
    if (panel != nullptr) std::copy_n(panel, pl::panel_width, sums.values);
    return sums;
  }
  template <int Vector>
  [[gnu::noinline]] static cpu::IntBatch vector(const Sums (&sums)[1]) {
    notes.longest_chain = std::max(notes.longest_chain, sums[0].chain);
    return cpu::IntBatch::load_unaligned(sums[0].values + Vector * cpu::float_lanes);
  }
};

/// The same, which takes two lines at once.
template <CodeStorage Storage>
struct NotedPairs : NotedDots<Storage> {
  using typename NotedDots<Storage>::Sums;
  [[gnu::noinline]] static void add_two(Sums& sums, const std::uint8_t* line, std::int32_t four,
                                        const std::uint8_t* other_line, std::int32_t other_four) {
    NotedDots<Storage>::add(sums, line, four);
    NotedDots<Storage>::add(sums, other_line, other_four);
    ++notes.pairs;
  }
};

struct Noted : cpu::isa::Portable {
  static constexpr int most_rows = cpu::tile_rows(9);
  template <CodeStorage Storage>
  using Dots = NotedDots<Storage>;

  static void expand_lines(const std::uint8_t* nibbles, index lines, std::uint8_t* bytes) {
    notes.expanded = nullptr;
    notes.first_expanded = notes.line_of(nibbles);
    notes.expanded = bytes;
    notes.events.push_back({true, notes.first_expanded, lines});
    for (index l = 0; l < lines; ++l)
      for (index i = 0; i < 64; ++i) {
        bytes[l * 128 + i] = nibbles[l * 64 + i] & 15;
        bytes[l * 128 + 64 + i] = nibbles[l * 64 + i] >> 4;
      }
  }
};

struct NotedTile : cpu::isa::Portable {
  static constexpr int most_rows = cpu::tile_rows(5);
  template <CodeStorage Storage>
  using Dots = NotedDots<Storage>;
};

struct NotedInPairs : cpu::isa::Portable {
  static constexpr int most_rows = cpu::tile_rows(5);
  template <CodeStorage Storage>
  using Dots = NotedPairs<Storage>;
};

void start_notes(const pl::PackedWeightsView& w) {
  notes = {};
  notes.panels = w.panels;
  notes.line_bytes = pl::line_bytes(w.storage);
}

pl::PackedWeights weights(index channels, index columns, int bits, index group, pl::Random& random) {
  return *pl::PackedWeights::make(samples::codes(channels, columns, bits, Symmetry::symmetric, group, random).view());
}

samples::Rows activations(index rows, index columns, pl::Random& random) {
  const std::vector<float> x = samples::floats(rows * columns, random, 3.0);
  return {pl::MatrixView<const float>(x.data(), rows, columns), {.bits = 8}};
}

/// Ends of [0, items) cut into as few nearly equal runs as `most` allows, the longer ones first.
std::vector<pl::Range> cut(index items, index most) {
  std::vector<pl::Range> runs;
  const index count = (items + most - 1) / most;
  for (index run = 0, begin = 0; run < count; ++run) {
    const index end = begin + items / count + (run < items % count ? 1 : 0);
    runs.push_back({begin, end});
    begin = end;
  }
  return runs;
}

struct LinesCase {
  index rows, channels, columns, group;
  int bits;
  index stride = 0;  // of the codes, if it is not the usual one
};

/// What a product is to read: blocks of rows one after the other, each panel by panel, each run of lines by all tiles.
std::vector<Event> expected_events(const LinesCase& c, index stride) {
  std::vector<Event> events;
  const index lines = pl::line_count(c.columns), panels = pl::panel_count(c.channels);
  const bool grouped = c.group != 0 && c.group < c.columns, nibbles = c.bits <= 4;
  const bool short_groups = !grouped || c.group <= 1024;
  for (const pl::Range block : cut(c.rows, cpu::integer_block_rows(stride))) {
    const index rows = block.end - block.begin;
    const bool expands = nibbles && short_groups && rows >= (grouped ? 36 : 96);
    index run = lines;
    if (short_groups && (expands || !nibbles)) run = grouped ? 1024 / c.group * (c.group / 4) : 256;
    const index one_tile = cpu::tile_rows(8), many = cpu::tile_rows(9);
    const index tall = grouped ? cpu::tile_rows(7) : rows <= many ? one_tile : many;
    for (index panel = 0; panel < panels; ++panel)
      for (index first = 0; first < lines; first += run) {
        const index end = std::min(lines, first + run);
        if (expands) events.push_back({true, panel * lines + first, end - first});
        for (const pl::Range tile : cut(rows, tall))
          for (index line = first; line < end; ++line)
            events.push_back({false, panel * lines + line, tile.end - tile.begin});
      }
  }
  return events;
}

TEST_CASE("symmetric products: all tiles of a block pass a run of 1024 columns before the next one, panel by panel") {
  std::uint64_t seed = 1;
  for (const int bits : {4, 8})
    for (const LinesCase& shape :
         {LinesCase{1, 40, 40, 0, 0},        LinesCase{2, 33, 41, 0, 0},       LinesCase{7, 64, 20, 0, 0},
          LinesCase{8, 32, 20, 0, 0},        LinesCase{9, 32, 20, 0, 0},       LinesCase{12, 32, 20, 0, 0},
          LinesCase{13, 32, 20, 0, 0},       LinesCase{25, 1, 1030, 0, 0},     LinesCase{95, 33, 1028, 0, 0},
          LinesCase{96, 33, 1024, 0, 0},     LinesCase{96, 33, 1029, 0, 0},    LinesCase{97, 20, 2060, 0, 0},
          LinesCase{193, 33, 68, 0, 0},      LinesCase{7, 33, 70, 16, 0},      LinesCase{8, 33, 70, 16, 0},
          LinesCase{35, 33, 70, 16, 0},      LinesCase{36, 33, 70, 16, 0},     LinesCase{36, 33, 1100, 64, 0},
          LinesCase{36, 20, 2100, 300, 0},   LinesCase{36, 20, 2060, 1024, 0}, LinesCase{36, 20, 2100, 1028, 0},
          LinesCase{60, 20, 40, 0, 0, 27008}}) {
      LinesCase c = shape;
      c.bits = bits;
      INFO("rows ", c.rows, " channels ", c.channels, " columns ", c.columns, " group ", c.group, " bits ", bits);
      pl::Random random(seed++);
      const pl::PackedWeights packed = weights(c.channels, c.columns, bits, c.group, random);
      const pl::PackedWeightsView w = packed.view();
      const samples::Rows rows = activations(c.rows, c.columns, random);
      pl::QuantizedRowsView x = rows.view();
      std::vector<std::int8_t> apart(static_cast<std::size_t>(c.rows * c.stride));
      if (c.stride > 0) {
        for (index r = 0; r < c.rows; ++r) std::copy_n(x.row(r), c.columns, apart.data() + r * c.stride);
        x.codes = apart.data();
        x.stride = c.stride;
      }
      std::vector<std::byte> scratch(cpu::multiply_scratch_bytes(c.rows, c.columns, w.groups()));
      std::vector<float> y(static_cast<std::size_t>(c.rows * c.channels)), expected = y;
      start_notes(w);
      const pl::MatrixView<float> to(y.data(), c.rows, c.channels);
      if (w.storage == CodeStorage::nibble)
        cpu::multiply_plain<Noted, CodeStorage::nibble>(x, w, {}, to, {0, w.panel_count()}, scratch);
      else
        cpu::multiply_plain<Noted, CodeStorage::byte>(x, w, {}, to, {0, w.panel_count()}, scratch);
      CHECK((notes.events == expected_events(c, x.stride)));
      reference::multiply(x, w, {}, {expected.data(), c.rows, c.channels}, {0, w.panel_count()}, {});
      CHECK((y == expected));
    }
}

TEST_CASE("one or two rows add lines up in two sets of sums in turn, more rows in one") {
  pl::Random random(2);
  for (const int bits : {4, 8})
    for (const int rows : {1, 2, 3, 5, 8})
      for (const int lines : {1, 2, 3, 4, 7, 8}) {
        INFO("bits ", bits, " rows ", rows, " lines ", lines);
        const pl::PackedWeights packed = weights(32, 4 * lines, bits, 0, random);
        const pl::PackedWeightsView w = packed.view();
        const samples::Rows x = activations(rows, 4 * lines, random);
        std::vector<std::byte> scratch(cpu::multiply_scratch_bytes(rows, 4 * lines, 1));
        std::vector<float> y(static_cast<std::size_t>(rows * 32));
        start_notes(w);
        if (bits == 4)
          cpu::multiply_plain<Noted, CodeStorage::nibble>(x.view(), w, {}, {y.data(), rows, 32}, {0, 1}, scratch);
        else
          cpu::multiply_plain<Noted, CodeStorage::byte>(x.view(), w, {}, {y.data(), rows, 32}, {0, 1}, scratch);
        const int tile = std::min(rows, cpu::tile_rows(8));
        CHECK(notes.longest_chain == (tile <= 2 ? lines / 2 + lines % 2 + 1 : lines));
      }
}

template <class Isa, CodeStorage Storage>
void check_tile(int rows, int lines) {
  INFO("rows ", rows, " lines ", lines);
  pl::Random random(static_cast<std::uint64_t>(rows * 100 + lines));
  const pl::PackedWeights packed = weights(32, 4 * lines, Storage == CodeStorage::nibble ? 4 : 8, 0, random);
  const pl::PackedWeightsView w = packed.view();
  const samples::Rows x = activations(rows, 4 * lines, random);
  start_notes(w);
  cpu::TileSums<Isa> sums;
  cpu::tile_sums<Isa, Storage>(w, 0, x.view(), 0, 4 * lines, sums);
  index wrong = 0;
  for (index r = 0; r < rows; ++r)
    for (index c = 0; c < 32; ++c) {
      std::int32_t sum = 0;
      for (index k = 0; k < 4 * lines; ++k) sum += w.stored(c, k) * x.view().row(r)[k];
      wrong += sums.values[r][c] != sum;
    }
  CHECK(wrong == 0);
  const int depth = rows == 1 ? 4 : rows <= 4 ? 2 : 1;
  CHECK(notes.longest_chain == lines / depth + lines % depth + depth - 1);
  const bool by_two = depth == 1 && std::is_same_v<Isa, NotedInPairs>;
  CHECK(notes.pairs == (by_two ? rows * (lines / 2) : 0));
}

TEST_CASE("the sums of a tile: few rows add up in four or two sets, many take two lines at once where they can") {
  for (const int rows : {1, 2, 3, 4, 5}) {
    if (rows > cpu::tile_rows(5)) continue;
    for (const int lines : {1, 2, 3, 4, 5, 7, 8, 9}) {
      check_tile<NotedTile, CodeStorage::nibble>(rows, lines);
      check_tile<NotedTile, CodeStorage::byte>(rows, lines);
      check_tile<NotedInPairs, CodeStorage::byte>(rows, lines);
    }
  }
}

}  // namespace
