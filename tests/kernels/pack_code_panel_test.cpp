// Panels of codes that live for one product, from rows of channels and from rows of terms, between pages nobody may
// touch.
#include <cstdint>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/kernels/cpu/pack_code_panel.hpp>

#include "guarded_memory.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using guarded::Buffer;
using guarded::Edge;
using pl::index;  // inside a namespace: the C library has a function of this name

/// rows × columns codes of 8 bits with zeros behind the last column.
struct CodeMatrix {
  index rows, columns, stride;
  Buffer<std::int8_t> memory;

  CodeMatrix(index r, index c, Edge edge, pl::Random& random)
      : rows(r), columns(c), stride((c + 63) / 64 * 64), memory(r * stride, edge) {
    for (index row = 0; row < rows; ++row)
      for (index column = 0; column < columns; ++column)
        memory.data()[row * stride + column] = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
  }
  [[nodiscard]] pl::QuantizedRowsView view() const {
    pl::QuantizedRowsView v;
    v.codes = memory.data();
    v.rows = rows;
    v.columns = columns;
    v.stride = stride;
    return v;
  }
  [[nodiscard]] int at(index row, index column) const {
    return row < rows && column < columns ? memory.data()[row * stride + column] : 0;
  }
};

/// Every byte of a panel is the code of its channel and term, `code(channel, term)`, with the offset of bytes.
template <class Code>
bool holds(const Buffer<std::uint8_t>& panel, const Code& code) {
  index wrong = 0;
  for (index at = 0; at < static_cast<index>(panel.span().size()); ++at) {
    const index line = at / 128, channel = at % 128 / 4, depth = at % 4;
    wrong += panel.data()[at] == code(channel, 4 * line + depth) + 128 ? 0 : 1;
  }
  return wrong == 0;
}

constexpr index all_terms[] = {1, 3, 4, 5, 15, 16, 17, 32, 61, 63, 64, 65, 100, 128, 130};

TEST_CASE("a panel of codes has whole groups of four lines, and as few as hold its terms") {
  for (index terms = 1; terms < 70; ++terms) {
    CAPTURE(terms);
    const index room = cpu::code_panel_room(terms);
    CHECK(room % 512 == 0);
    CHECK(room >= 32 * terms);
    CHECK(room < 32 * (terms + 16));
  }
}

TEST_CASE("a panel of codes from rows of channels: each code in its place, zeros behind the last term") {
  pl::Random random(1);
  for (const index terms : all_terms)
    for (const Edge edge : guarded::edges) {
      CAPTURE(terms);
      const CodeMatrix codes(64, terms, edge, random);
      for (const index panel : {0, 1}) {
        const Buffer<std::uint8_t> made(cpu::code_panel_room(terms), edge);
        cpu::pack_code_panel(codes.view(), panel, made.data());
        CHECK(holds(made, [&](index channel, index term) { return codes.at(32 * panel + channel, term); }));
      }
    }
}

TEST_CASE("a panel of codes from rows of terms: each code in its place, zeros behind the last term") {
  pl::Random random(2);
  for (const index terms : all_terms)
    for (const Edge edge : guarded::edges)
      for (const index channels : {1, 32, 40, 64}) {
        CAPTURE(terms);
        CAPTURE(channels);
        const CodeMatrix codes(terms, channels, edge, random);
        for (index panel = 0; panel < pl::panel_count(channels); ++panel) {
          const Buffer<std::uint8_t> made(cpu::code_panel_room(terms), edge);
          cpu::pack_term_panel(codes.view(), panel, made.data());
          CHECK(holds(made, [&](index channel, index term) { return codes.at(term, 32 * panel + channel); }));
        }
      }
}

}  // namespace
