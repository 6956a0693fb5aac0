#pragma once
// What peers are measured on: the shapes and row counts of the products they stand beside.
#include "../support/shapes.hpp"
#include "../support/suite.hpp"

namespace bench::peers {

inline constexpr Shape shapes[] = {llama3_8b::query, llama3_8b::up, llama3_8b::down, smollm2_135m::query,
                                   smollm2_135m::up};

/// Adds `peer/<library>/<type>/m:…` for every shape; `body(state, m, shape, threads, cold)`.
template <class Body>
bool add(const char* library, const char* type, const Body& body) {
  for (int threads : thread_counts)
    for (const Shape& shape : shapes)
      for (planish::index m : {1, 16, 128, 512}) {
        // As ours: the shapes that are measured with 512 rows.
        if (m == 512 && shape.k != llama3_8b::query.k && shape.n != smollm2_135m::up.n) continue;
        if (m == 512 && shape.n == llama3_8b::up.n) continue;
        const bool cold = m == 1;
        Path path("peer", library, type);
        path.add("m", m).add("n", shape.n).add("k", shape.k).add("threads", threads);
        if (cold) path.add("weights:cold");
        bench::add(path, [=](benchmark::State& state) { body(state, m, shape, threads, cold); });
      }
  return true;
}

}  // namespace bench::peers
