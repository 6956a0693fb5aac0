// Attention and the stores of the cache, with pages, queries, outputs and scratch against a page nobody may touch.
#include <cstdint>
#include <iterator>
#include <limits>

#include <doctest/doctest.h>

#include <planish/backend/attention.hpp>
#include <planish/core/random.hpp>

#include "guarded_memory.hpp"

namespace pl = planish;
using guarded::Buffer;
using guarded::Edge;
using guarded::Layout;
using guarded::Matrix;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

/// The memory of keys, or of values, array by array. Where no token was stored, scales are NaN: pages come from a pool.
struct GuardedPages {
  GuardedPages(index heads, index head_size, int bits, index tokens, index float_tokens, index page_floats,
               index page_bytes, Edge edge)
      : GuardedPages(heads, head_size, bits, float_tokens, page_floats, page_bytes, edge,
                     (tokens + pl::page_tokens - 1) / pl::page_tokens) {}

  Buffer<float> values, scales;
  Buffer<std::uint8_t> codes, zero_points;
  pl::KvPages view;

 private:
  static index float_pages(int bits, index float_tokens, index pages) {
    return bits == 16 ? pages : (float_tokens + pl::page_tokens - 1) / pl::page_tokens;
  }
  GuardedPages(index heads, index head_size, int bits, index float_tokens, index page_floats, index page_bytes,
               Edge edge, index pages)
      : values(heads * float_pages(bits, float_tokens, pages) * page_floats, edge),
        scales(bits == 16 ? 0 : heads * pages * pl::page_tokens, edge),
        codes(bits == 16 ? 0 : heads * pages * page_bytes, edge),
        zero_points(bits == 16 ? 0 : heads * pages * pl::page_tokens, edge) {
    view.head_size = head_size;
    view.bits = bits;
    view.pages_per_head = pages;
    view.float_tokens = float_tokens;
    view.float_pages_per_head = float_pages(bits, float_tokens, pages);
    view.float_page_size = page_floats;
    view.code_page_size = page_bytes;
    view.values = values.data();
    view.codes = codes.data();
    view.scales = scales.data();
    view.zero_points = zero_points.data();
    for (float& scale : scales.span()) scale = std::numeric_limits<float>::quiet_NaN();
    for (std::uint8_t& point : zero_points.span()) point = 255;
  }
};

/// A table of all pages.
void fill(const Buffer<pl::KvPage>& table, const pl::KvPages& pages) {
  for (index i = 0; i < std::ssize(table.span()); ++i)
    table.data()[i] = pages.page(i / pages.pages_per_head, i % pages.pages_per_head);
}

/// Keys and values of every token, stored and then attended to by one backend.
template <class Backend>
void run(Backend backend, index head_size, int bits, index float_tokens, index rows, index first, std::uint64_t seed,
         Edge edge, const Matrix& output, pl::AttentionPrecision precision) {
  constexpr index heads = 2, group = 3;
  const index tokens = first + rows;
  pl::Random random(seed);
  const GuardedPages keys(heads, head_size, bits, tokens, float_tokens, pl::key_page_floats(head_size),
                          pl::key_page_bytes(head_size, bits), edge);
  const GuardedPages values(heads, head_size, bits, tokens, float_tokens, pl::value_page_floats(head_size),
                            pl::value_page_bytes(head_size, bits), edge);
  for (index head = 0; head < heads; ++head)
    for (index t = 0; t < tokens; ++t) {
      const index step = 1 + t % 2, page = t / pl::page_tokens, slot = t % pl::page_tokens;
      const Matrix x({1, head_size, head_size * step, step}, edge, random);
      CHECK(pl::store_key(backend, keys.view, keys.view.page(head, page), slot, x.view().data(), step));
      CHECK(pl::store_value(backend, values.view, values.view.page(head, page), slot, x.view().data(), step));
    }
  const Matrix query(Layout::random(rows, heads * group * head_size, random), edge, random);
  pl::Attention a{keys.view, values.view, query.view(), output.view(), group, first, 0.3f, precision};
  const Buffer<pl::KvPage> key_table(heads * keys.view.pages_per_head, edge),
      value_table(heads * values.view.pages_per_head, edge);
  if (random.below(2) == 0) {  // a table that ends with the last page
    fill(key_table, keys.view), fill(value_table, values.view);
    a.keys.table = key_table.data();
    a.values.table = value_table.data();
  }
  const index lines = pl::attention_lines(a);
  const Buffer<std::byte> scratch(static_cast<index>(pl::attend_scratch_bytes(backend, a, lines)), edge);
  for (index head = 0; head < heads; ++head) CHECK(pl::attend(backend, a, head, {0, lines}, scratch.span()) == 0);
}

TEST_CASE("guard pages: attention and the stores of the cache") {
  std::uint64_t seed = 1;
  for (const index head_size : {1, 7, 16, 20, 33, 64, 80})
    for (const int bits : {2, 3, 4, 8, 16})
      for (const Edge edge : guarded::edges) {
        pl::Random random(++seed);
        const auto rows = static_cast<index>(1 + random.below(4));
        // every third time the sequence fills its last page
        const index first = seed % 3 == 0 ? pl::page_tokens * static_cast<index>(1 + random.below(5)) - rows
                                          : static_cast<index>(random.below(130));
        const index float_tokens = bits == 16 ? 0 : static_cast<index>(random.below(2) * random.below(80));
        CAPTURE(head_size);
        CAPTURE(bits);
        CAPTURE(seed);
        const Layout layout = Layout::random(rows, 6 * head_size, random);
        const Matrix y(layout, edge), expected(layout, edge);
        using Precision = pl::AttentionPrecision;
        for (const Precision precision : {Precision::floats, Precision::q8p8, Precision::q8p8_simulated}) {
          run(pl::Cpu{}, head_size, bits, float_tokens, rows, first, seed, edge, y, precision);
          run(pl::Reference{}, head_size, bits, float_tokens, rows, first, seed, edge, expected, precision);
          CHECK(guarded::same(y.all(), expected.all()));
        }
      }
}

}  // namespace
