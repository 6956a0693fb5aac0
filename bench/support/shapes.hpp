#pragma once
// Shapes by the name of the model they come from.
#include <planish/core/index.hpp>

namespace bench {

/// Output channels × inputs of a linear layer.
struct Shape {
  planish::index n;
  planish::index k;
};

namespace smollm2_135m {
inline constexpr Shape query{576, 576}, up{1536, 576}, down{576, 1536};
}
namespace llama3_8b {
inline constexpr Shape query{4096, 4096}, up{14336, 4096}, down{4096, 14336};
}

/// Rows of activations: decode, a small batch, prefill.
inline constexpr planish::index row_counts[] = {1, 16, 512};

}  // namespace bench
