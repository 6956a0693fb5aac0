#pragma once
#include <planish/linear/linear_on.hpp>

namespace planish::inline PLANISH_ABI {

/// A linear whose weight scheme is known at run time: what files and recipes bring, on the default backend.
using AnyLinear = LinearOn<DefaultBackend>;

}  // namespace planish::inline PLANISH_ABI
