#pragma once
#include <planish/core/abi.hpp>

// CMake reads these three lines.
#define PLANISH_VERSION_MAJOR 0
#define PLANISH_VERSION_MINOR 1
#define PLANISH_VERSION_PATCH 0

#define PLANISH_STRINGIFY_(x) #x
#define PLANISH_STRINGIFY(x) PLANISH_STRINGIFY_(x)

namespace planish::inline PLANISH_ABI {

/// Of the library: a new major breaks, a new minor adds.
struct Version {
  int major, minor, patch;
};

inline constexpr Version version{PLANISH_VERSION_MAJOR, PLANISH_VERSION_MINOR, PLANISH_VERSION_PATCH};

/// Name of the inline namespace of this translation unit, for example "v1_avx512vnni".
inline constexpr const char* abi_name = PLANISH_STRINGIFY(PLANISH_ABI);

}  // namespace planish::inline PLANISH_ABI
