// How many pages attention takes at a time: as many as all lines of the call see whole, up to its room, and none with
// floats behind the first.
#include <cstdint>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/attend.hpp>

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

index expected(const pl::Attention& a, pl::Range range, index p) {
  index pages = 1;
  const auto fits = [&](index count) {
    const index first_line_sees = a.first_position + range.begin / a.group + 1;
    const index page = p + count - 1;
    return count <= cpu::most_pages_together && count * (range.end - range.begin) <= cpu::softened_lines &&
           (page + 1) * pl::page_tokens <= first_line_sees && page * pl::page_tokens >= a.keys.float_tokens &&
           page * pl::page_tokens >= a.values.float_tokens;
  };
  if (!fits(1)) return 1;
  while (fits(pages + 1)) ++pages;
  return pages;
}

TEST_CASE("pages that few lines take together") {
  constexpr index longest = 64 * 9;
  float values[1] = {}, scales[longest] = {};
  std::uint8_t codes[1] = {}, zero_points[longest] = {};
  index wrong = 0, several = 0;
  for (const index group : {1, 2, 3, 4, 7})
    for (const index rows : {1, 2, 3})
      for (const index key_floats : {0, 1, 64, 100})
        for (const index value_floats : {0, 65})
          for (index first = 0; first + rows <= longest; ++first) {
            pl::Attention a;
            a.query = {values, rows, group};
            a.group = group;
            a.first_position = first;
            a.keys.head_size = a.values.head_size = 1;
            a.keys.bits = a.values.bits = 8;
            a.keys.pages_per_head = a.values.pages_per_head = longest / pl::page_tokens;
            a.keys.float_tokens = key_floats, a.values.float_tokens = value_floats;
            a.keys.values = a.values.values = values;
            a.keys.codes = a.values.codes = codes;
            a.keys.scales = a.values.scales = scales;
            a.keys.zero_points = a.values.zero_points = zero_points;
            const index lines = pl::attention_lines(a);
            for (const pl::Range range : {pl::Range{0, lines}, pl::Range{0, 1}, pl::Range{lines - 1, lines}})
              for (index p = 0; p * pl::page_tokens < first + rows; ++p) {
                const index pages = cpu::detail::pages_together(a, 0, range, p);
                wrong += pages != expected(a, range, p);
                several += pages > 1;
              }
          }
  CHECK(wrong == 0);
  CHECK(several > 0);
}

}  // namespace
