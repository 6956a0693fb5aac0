#pragma once
// Parameters for the transform tests, the same on every platform for a seed.
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include <planish/core/random.hpp>
#include <planish/transform/kronecker_factors.hpp>
#include <planish/transform/permutation.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>

namespace samples {

using planish::index;

inline constexpr index sizes[] = {1, 2, 6, 7, 9, 12, 63, 64, 65, 576, 1536};

inline planish::Shift shift(index n, std::uint64_t seed) {
  planish::Random random(seed);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = static_cast<float>(random.normal());
  return planish::Shift(std::move(values));
}

/// Both signs, sizes over two decades.
inline planish::Scale scale(index n, std::uint64_t seed) {
  planish::Random random(seed);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = random.sign() * static_cast<float>(std::exp(random.normal()));
  return planish::Scale(std::move(values));
}

inline planish::Permutation permutation(index n, std::uint64_t seed) {
  planish::Random random(seed);
  std::vector<std::int32_t> sources(static_cast<std::size_t>(n));
  std::iota(sources.begin(), sources.end(), 0);
  for (std::size_t i = sources.size(); i > 1; --i)
    std::swap(sources[i - 1], sources[static_cast<std::size_t>(random.below(i))]);
  return planish::Permutation(std::move(sources));
}

}  // namespace samples
