// Pages that attention spreads into scratch: every code as its number less the centre, floats of tokens as they are,
// and nothing behind the scratch that is asked for.
#include <cstdint>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/kernels/cpu/cache_rows.hpp>

#include "guarded_memory.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using guarded::Buffer;
using guarded::Edge;
using pl::index;  // inside a namespace: the C library has a function of this name

constexpr index head_sizes[] = {1, 2, 3, 7, 8, 12, 15, 16, 17, 31, 32, 33, 64, 80, 127, 128};

/// A page of random floats and codes.
struct Page {
  Page(index floats, index bytes, index float_tokens, Edge edge, pl::Random& random)
      : values(floats, edge), codes(bytes, edge) {
    for (float& value : values.span()) value = static_cast<float>(random.normal());
    for (std::uint8_t& byte : codes.span()) byte = static_cast<std::uint8_t>(random.below(256));
    view.values = values.data();
    view.codes = codes.data();
    view.float_tokens = float_tokens;
  }
  Buffer<float> values;
  Buffer<std::uint8_t> codes;
  pl::KvPage view{};

  [[nodiscard]] float code(index lane, index step, index lanes, int bits) const {
    const int width = pl::kv_code_width(bits), mask = (1 << width) - 1;
    const pl::CodePlace place = pl::code_place(lane, step, pl::lane_blocks(lanes), width);
    return static_cast<float>((codes.data()[place.byte] >> place.bit & mask) - pl::code_centre(bits));
  }
};

pl::KvPages pages_of(index head_size, int bits) {
  pl::KvPages pages;
  pages.head_size = head_size;
  pages.bits = bits;
  return pages;
}

/// Bits whose codes fill their place, so that any byte may be a page's.
constexpr int whole_bits[] = {2, 4, 8};

TEST_CASE("keys of a page, spread") {
  pl::Random random(11);
  for (const Edge edge : guarded::edges)
    for (const int bits : whole_bits)
      for (const index size : head_sizes)
        for (const index floats : {index{0}, index{5}, pl::page_tokens}) {
          INFO(bits, " bits, head size ", size, ", floats ", floats);
          const pl::KvPages keys = pages_of(size, bits);
          const Page page(pl::key_page_floats(size), pl::key_page_bytes(size, bits), floats, edge, random);
          const Buffer<float> scratch(cpu::spread_key_floats(keys), edge);
          const float* const spread = cpu::load_keys(keys, page.view, scratch.data());
          CHECK((spread == page.view.values) == (floats == pl::page_tokens));
          index wrong = 0;
          for (index i = 0; i < size; ++i)
            for (index t = 0; t < pl::page_tokens; ++t)
              wrong += spread[i * pl::page_tokens + t] != (t < floats ? page.view.values[i * pl::page_tokens + t]
                                                                      : page.code(t, i, pl::page_tokens, bits));
          CHECK(wrong == 0);
        }
}

TEST_CASE("values of a page, spread as far as the sequence goes") {
  pl::Random random(12);
  for (const Edge edge : guarded::edges)
    for (const int bits : whole_bits)
      for (const index size : head_sizes)
        for (const index floats : {index{0}, index{5}, index{40}})
          for (const index count : {index{1}, index{5}, index{39}, index{40}, index{63}, pl::page_tokens}) {
            INFO(bits, " bits, head size ", size, ", floats ", floats, ", tokens ", count);
            const pl::KvPages values = pages_of(size, bits);
            const index stride = pl::value_stride(size);
            const Page page(pl::value_page_floats(size), pl::value_page_bytes(size, bits), floats, edge, random);
            const Buffer<float> scratch(cpu::spread_value_floats(values), edge);
            const float* const spread = cpu::load_values(values, page.view, count, scratch.data());
            CHECK((spread == page.view.values) == (count <= floats));
            index wrong = 0;
            for (index t = 0; t < count; ++t)
              for (index i = 0; i < size; ++i)
                wrong += spread[t * stride + i] !=
                         (t < floats ? page.view.values[t * stride + i] : page.code(i, t, size, bits));
            CHECK(wrong == 0);
          }
}

TEST_CASE("keys that are floats need no more scratch than they take") {
  for (const index size : head_sizes) CHECK(cpu::spread_key_floats(pages_of(size, 16)) == pl::key_page_floats(size));
}

}  // namespace
