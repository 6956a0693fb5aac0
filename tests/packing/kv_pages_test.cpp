// Where a page of the cache lies: in the arrays of its head, or in a host's table.
#include <algorithm>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <planish/packing/kv_pages.hpp>

namespace pl = planish;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name
using pl::page_tokens;

TEST_CASE("a page has floats for its first tokens, codes for the others, and null for what it has not") {
  constexpr index heads = 3, pages = 4, float_size = 7, code_size = 5;
  std::vector<float> values(heads * pages * float_size), scales(heads * pages * page_tokens);
  std::vector<std::uint8_t> codes(heads * pages * code_size), zero_points(heads * pages * page_tokens);
  for (const int bits : {2, 8, 16})
    for (const index float_tokens : {0, 1, 63, 64, 65, 127, 128, 200, 256}) {
      pl::KvPages all;
      all.bits = bits;
      all.pages_per_head = pages;
      all.float_tokens = float_tokens;
      all.float_pages_per_head = bits == 16 ? pages : (float_tokens + page_tokens - 1) / page_tokens;
      all.float_page_size = float_size, all.code_page_size = code_size;
      all.values = values.data(), all.codes = codes.data();
      all.scales = scales.data(), all.zero_points = zero_points.data();
      std::vector<pl::KvPage> table;
      for (index head = 0; head < heads; ++head)
        for (index p = 0; p < pages; ++p) {
          INFO("bits ", bits, ", floats ", float_tokens, ", head ", head, ", page ", p);
          const index first = p * page_tokens;
          index kept = 0;
          while (kept < page_tokens && (bits == 16 || first + kept < float_tokens)) ++kept;
          const pl::KvPage page = all.page(head, p);
          CHECK(page.float_tokens == kept);
          const index i = head * pages + p;
          const bool floats = kept > 0, coded = kept < page_tokens;
          CHECK(page.values == (floats ? values.data() + (head * all.float_pages_per_head + p) * float_size : nullptr));
          CHECK(page.codes == (coded ? codes.data() + i * code_size : nullptr));
          CHECK(page.scales == (coded ? scales.data() + i * page_tokens : nullptr));
          CHECK(page.zero_points == (coded ? zero_points.data() + i * page_tokens : nullptr));
          table.push_back(page);
        }
      std::reverse(table.begin(), table.end());
      pl::KvPages of_host;
      of_host.bits = bits;
      of_host.pages_per_head = pages;
      of_host.table = table.data();
      index wrong = 0;
      for (index head = 0; head < heads; ++head)
        for (index p = 0; p < pages; ++p) {
          const pl::KvPage page = of_host.page(head, p), mirrored = all.page(heads - 1 - head, pages - 1 - p);
          wrong += page.values != mirrored.values || page.codes != mirrored.codes ||
                   page.float_tokens != mirrored.float_tokens;
        }
      CHECK(wrong == 0);
    }
}

TEST_CASE("codes of a page: a place of their own each, within as many bytes as the page has") {
  for (const int bits : {2, 3, 4, 5, 8})
    for (const index lanes : {1, 15, 16, 17, 64})
      for (const index steps : {1, 3, 4, 8, 15, 16, 17, 64}) {
        INFO("bits ", bits, ", lanes ", lanes, ", steps ", steps);
        const int width = pl::kv_code_width(bits);
        const index blocks = (lanes + 15) / 16, per_line = 32 / width, lines = (steps + per_line - 1) / per_line;
        CHECK(pl::lane_blocks(lanes) == blocks);
        CHECK(pl::code_lines(steps, width) == lines);
        if (lanes == 64) CHECK(pl::key_page_bytes(steps, bits) == lines * blocks * 64);
        if (steps == 64) CHECK(pl::value_page_bytes(lanes, bits) == lines * blocks * 64);
        std::vector<int> used(static_cast<std::size_t>(lines * blocks * 64 * 8));
        index outside = 0, twice = 0;
        for (index lane = 0; lane < lanes; ++lane)
          for (index step = 0; step < steps; ++step) {
            const pl::CodePlace place = pl::code_place(lane, step, blocks, width);
            outside += place.byte < 0 || place.byte >= lines * blocks * 64 || place.bit < 0 || place.bit + width > 8;
            for (int bit = 0; bit < width && outside == 0; ++bit)
              twice += used[static_cast<std::size_t>(place.byte * 8 + place.bit + bit)]++;
          }
        CHECK(outside == 0);
        CHECK(twice == 0);
      }
}

}  // namespace
