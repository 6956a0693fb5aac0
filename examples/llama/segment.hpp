#pragma once
#include <planish/core/index.hpp>

namespace llama {

/// Neighbouring rows of a batch that continue one sequence.
struct Segment {
  planish::index sequence = 0;
  planish::index rows = 0;
};

}  // namespace llama
