// Queries of q8p8 become codes by the formula of core/affine.hpp, wherever their range lies.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/weight_codes.hpp>

#include "guarded_memory.hpp"
#include "samples.hpp"

namespace pl = planish;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

void check_query(const std::vector<float>& query) {
  const auto count = static_cast<index>(query.size());
  pl::ValueRange range{};
  bool finite = true;
  for (const float value : query) {
    range.lowest = std::min(range.lowest, value);
    range.highest = std::max(range.highest, value);
    finite = finite && pl::is_finite(value);
  }
  const pl::Affine affine = pl::symmetric_affine(range, {}, 8);
  const guarded::Buffer<float> floats(std::span<const float>(query), guarded::Edge::back);
  const guarded::Buffer<std::int8_t> codes(count, guarded::Edge::back);
  const float scale = pl::kernels::cpu::quantize_query(floats.data(), count, codes.data());
  index wrong = 0;
  for (std::size_t i = 0; i < query.size(); ++i) {
    const int expected = finite ? pl::to_code(query[i], affine, pl::code_range(8, pl::Symmetry::symmetric)) : 0;
    wrong += codes.data()[i] != expected || floats.data()[i] != static_cast<float>(expected);
  }
  CHECK(wrong == 0);
  if (finite)
    CHECK(std::bit_cast<std::uint32_t>(scale) == std::bit_cast<std::uint32_t>(affine.scale));
  else
    CHECK(std::isnan(scale));
}

TEST_CASE("queries become codes by the formula, far from 1 and not finite as well") {
  pl::Random random(1);
  for (const index count : {16, 64, 80, 256})
    for (const double spread : {1.0, 300.0, 0x1p-78, 0x1p-110, 0x1p-130, 0x1p100, 0.0}) {
      INFO("count ", count, " spread ", spread);
      auto query = samples::floats(count, random, spread);
      check_query(query);
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        query[static_cast<std::size_t>(random.below(static_cast<std::uint64_t>(count)))] = bad;
        check_query(query);
      }
    }
}

}  // namespace
