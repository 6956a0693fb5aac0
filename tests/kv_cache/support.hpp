#pragma once
// What the tests of the cache share: random rows, a cache made or the test fails, attention without a view in sight.
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/kv_cache/kv_cache.hpp>

namespace planish::test {

/// A dense matrix that owns its floats.
struct Rows {
  Rows(index r, index c) : rows(r), columns(c), data(static_cast<std::size_t>(r * c)) {}
  Rows(index r, index c, std::uint64_t seed, float size = 1.0f) : Rows(r, c) {
    Random random(seed);
    for (float& x : data) x = size * static_cast<float>(random.normal());
  }
  [[nodiscard]] MatrixView<float> view() { return {data.data(), rows, columns}; }
  [[nodiscard]] MatrixView<const float> view() const { return {data.data(), rows, columns}; }
  [[nodiscard]] MatrixView<const float> middle(index first, index count) const {
    return view().middle_rows(first, count);
  }
  index rows, columns;
  std::vector<float> data;
};

/// Equal to the bit, all NaN alike, and 0 equal to −0.
inline bool same(const Rows& a, const Rows& b) {
  if (a.data.size() != b.data.size()) return false;
  for (std::size_t i = 0; i < a.data.size(); ++i)
    if (!(a.data[i] == b.data[i] || (a.data[i] != a.data[i] && b.data[i] != b.data[i]))) return false;
  return true;
}

inline KvCache make_cache(const KvCacheOptions& options) {
  auto cache = KvCache::make(options);
  INFO(std::string(cache.status().message()));
  REQUIRE(cache.has_value());
  return *std::move(cache);
}

/// Attention by the cache itself (the CPU kernels), one call.
inline Status attend(const KvCache& cache, MatrixView<const float> q, index first_position, float scale,
                     MatrixView<float> y, ExecutorReference executor = {}) {
  const index query_heads = q.columns() / cache.options().head_size;
  std::vector<std::byte> memory(cache.workspace_size(q.rows(), query_heads, executor.workers()));
  return cache.attend(q, first_position, scale, y, Workspace(memory), executor);
}

/// The same by the reference backend.
inline Rows attend_reference(const KvCache& cache, const Rows& q, index first_position, float scale) {
  Rows y(q.rows, q.columns);
  std::vector<std::byte> memory(cache.workspace_size(q.rows, q.columns / cache.options().head_size, 1, Reference{}));
  (void)cache.attend(q.view(), first_position, scale, y.view(), Workspace(memory), {}, Reference{});
  return y;
}

}  // namespace planish::test
