// Codes as values: copies by name, and shapes that are none.
#include <doctest/doctest.h>

#include <planish/packing/codes.hpp>
#include <planish/packing/packed_weights.hpp>

using namespace planish;

TEST_CASE("Codes: a clone is equal and its own") {
  auto codes = Codes::make(2, 5, 4, Symmetry::asymmetric, 2);
  REQUIRE(codes.has_value());
  CHECK(codes->groups() == 3);
  for (std::size_t i = 0; i < codes->codes().size(); ++i) codes->codes()[i] = static_cast<std::uint8_t>(i);
  for (float& scale : codes->scales()) scale = 0.5f;
  for (std::uint8_t& zero : codes->zero_points()) zero = 3;
  const auto copy = codes->clone();
  REQUIRE(copy.has_value());
  codes->codes()[7] = 0;
  CHECK(copy->bits() == 4);
  CHECK(copy->group_size() == 2);
  CHECK(copy->view().value(1, 2) == doctest::Approx(0.5f * (7 - 3)));
  CHECK(codes->view().value(1, 2) == doctest::Approx(0.5f * (0 - 3)));
}

TEST_CASE("PackedWeights: shapes that are none are refused") {
  const auto codes = Codes::make(2, 4, 4, Symmetry::symmetric, 4);
  REQUIRE(codes.has_value());
  CodesView view = codes->view();
  view.group_size = 0;
  CHECK(PackedWeights::make(view).status().message() == "weights of 2 x 4 in groups of 0");
  view.group_size = 4;
  view.rows = -1;
  CHECK(PackedWeights::make(view).status().code() == ErrorCode::invalid_argument);
}
