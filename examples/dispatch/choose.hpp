#pragma once
#include <cstddef>

#include "kernels.hpp"

namespace dispatch {

inline constexpr std::size_t most_tables = 4;

/// The tables that this machine can run, widest first; returns how many. Asks for every feature that the flags of a
/// unit let the compiler use (CMakeLists.txt); the operating system's consent is part of the answer, and AMX tiles,
/// which it gives to those who ask, are enabled here.
std::size_t runnable(const Kernels* (&tables)[most_tables]) noexcept;

/// The table of that name, or the widest if `name` is null; null if this machine cannot run it.
const Kernels* choose(const char* name) noexcept;

}  // namespace dispatch
