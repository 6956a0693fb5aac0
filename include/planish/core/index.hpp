#pragma once
#include <cstddef>

namespace planish {

/// Signed count of rows, columns or elements. Part of the untagged vocabulary.
using index = std::ptrdiff_t;

}  // namespace planish
