#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <doctest/doctest.h>

#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>

namespace {

using planish::divide_up;
using planish::round_up;

template <class T>
void fewest_parts_hold_the_whole() {
  for (T part = 1; part <= 9; ++part)
    for (T whole = 0; whole <= 40; ++whole) {
      CAPTURE(whole);
      CAPTURE(part);
      T count = 0, sum = 0;
      for (; sum < whole; sum = static_cast<T>(sum + part)) ++count;
      CHECK(divide_up(whole, part) == count);
      CHECK(round_up(whole, part) == sum);
    }
}

TEST_CASE("the fewest parts that hold a whole, and the size that they have together") {
  fewest_parts_hold_the_whole<int>();
  fewest_parts_hold_the_whole<planish::index>();
  fewest_parts_hold_the_whole<std::size_t>();
  fewest_parts_hold_the_whole<std::uint64_t>();
}

static_assert(divide_up(9, 4) == 3 && round_up(9, 4) == 12);
static_assert(std::is_same_v<decltype(round_up(int{}, planish::index{})), planish::index>,
              "the wider of the two types");

}  // namespace
