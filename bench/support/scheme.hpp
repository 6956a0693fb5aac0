#pragma once
#include <planish/core/index.hpp>

namespace bench {

/// How the operands of an integer product are stored.
struct Scheme {
  const char* name;
  int weight_bits, activation_bits;
  planish::index group;  ///< columns under one scale; 0: per channel
};

}  // namespace bench
