// How attention cuts its lines and tokens into tiles of registers.
#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cpu/attend.hpp>

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name
using pl::page_tokens;

TEST_CASE("lines are cut into as few tiles as hold them, of nearly equal size") {
  for (index lines = 0; lines <= 40; ++lines) {
    INFO("lines ", lines);
    index next = 0, tiles = 0, least = lines, most = 0;
    bool in_order = true;
    cpu::detail::for_each_tile(lines, [&](index first, auto count) {
      in_order = in_order && first == next;
      next += count;
      ++tiles;
      least = std::min<index>(least, count), most = std::max<index>(most, count);
    });
    CHECK(in_order);
    CHECK(next == lines);
    CHECK(tiles == (lines + cpu::tile_lines - 1) / cpu::tile_lines);
    CHECK(most <= cpu::tile_lines);
    CHECK((lines == 0 || most - least <= 1));
  }
}

template <int Lines>
void check_scores(pl::Random& random) {
  constexpr index step = cpu::tile_registers * cpu::float_lanes / 2;  // half a tile
  for (const index size : {1, 5, 16})
    for (index count = 0; count <= page_tokens; ++count) {
      INFO("lines ", Lines, ", head size ", size, ", tokens ", count);
      const index stride = size + 3;
      std::vector<float> query(static_cast<std::size_t>(Lines * stride)),
          keys(static_cast<std::size_t>(size * page_tokens));
      for (float& value : query) value = static_cast<float>(random.normal());
      for (float& value : keys) value = static_cast<float>(random.normal());
      constexpr float untouched = -77.0f;
      std::vector<float> dots(Lines * page_tokens, untouched);
      cpu::score_tile<Lines>({query.data(), stride}, size, keys.data(), count, dots.data());
      index wrong = 0;
      for (index l = 0; l < Lines; ++l)
        for (index t = 0; t < page_tokens; ++t) {
          float expected = t < (count + step - 1) / step * step ? 0.0f : untouched;
          for (index i = 0; i < size && expected != untouched; ++i)
            expected = pl::multiply_add(query[static_cast<std::size_t>(l * stride + i)],
                                        keys[static_cast<std::size_t>(i * page_tokens + t)], expected);
          wrong += dots[static_cast<std::size_t>(l * page_tokens + t)] != expected;
        }
      CHECK(wrong == 0);
    }
}

TEST_CASE("scores of a page's first tokens, rounded up to half a tile, and of no others") {
  pl::Random random(3);
  check_scores<1>(random);
  check_scores<4>(random);
  check_scores<cpu::tile_lines>(random);
}

}  // namespace
