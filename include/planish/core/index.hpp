#pragma once
#include <cstddef>

namespace planish {

/// Signed count of rows, columns or elements. Part of the untagged vocabulary.
using index = std::ptrdiff_t;

/// What no matrix has: so many elements. Bytes and bits of fewer, and a few of them together, are still an index.
inline constexpr index most_elements = index{1} << (sizeof(index) == 8 ? 46 : 26);

}  // namespace planish
