#include <vector>

#include <doctest/doctest.h>

#include <planish/linear/overlap.hpp>

namespace pl = planish;

TEST_CASE("matrices overlap if they may share an element") {
  std::vector<float> memory(1000);
  const pl::MatrixView<float> whole(memory.data(), 10, 100);
  const auto left = whole.middle_columns(0, 50), right = whole.middle_columns(50, 50);
  CHECK(pl::may_overlap(whole, whole));
  CHECK_FALSE(pl::may_overlap(left, right));
  CHECK_FALSE(pl::may_overlap(right, left));
  CHECK(pl::may_overlap(left, whole.middle_columns(49, 10)));
  CHECK(pl::may_overlap(whole.middle_columns(49, 10), left));
  CHECK_FALSE(pl::may_overlap(whole.middle_rows(0, 5), whole.middle_rows(5, 5)));
  CHECK(pl::may_overlap(whole.middle_rows(0, 5), whole.middle_rows(4, 2)));
  CHECK_FALSE(pl::may_overlap(left, right.middle_rows(3, 2)));
  CHECK(pl::may_overlap(left, pl::MatrixView<float>(memory.data() + 60, 3, 7)));  // other stride: between the ends
  CHECK_FALSE(pl::may_overlap(left, pl::MatrixView<float>(memory.data() + 20, 0, 7)));
  CHECK(pl::may_overlap(pl::MatrixView<const float>(whole), right));
  const pl::MatrixView<float> upward(memory.data() + 900, 10, 50, -100);
  CHECK(pl::may_overlap(upward, left));
}
