#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/status.hpp>
#include <planish/kernels/cpu/isa/tile_permission.hpp>

namespace planish::inline PLANISH_ABI {

/// Lets the integer products of this process use the matrix tiles of AMX-INT8, with the same bits as without. A host
/// calls it once, when it starts, from any thread: the operating system gives tiles to a process, and only to one that
/// asks, since they make its signal frames and context switches larger by 8 KiB. Until then, and after an error, they
/// take AVX-512 VNNI. Error: `unsupported`, in a sentence, where unit, CPU or operating system have no tiles.
///
/// Each product configures the tiles of its thread when it begins and releases them when it returns. So a host that
/// uses tiles itself finds none configured after a call into planish, as after any call of the x86-64 convention, which
/// keeps none. Units of other instruction sets, and shared libraries that hide planish, each ask for themselves.
[[nodiscard]] inline Status enable_amx() noexcept { return kernels::cpu::isa::enable_tiles(); }

/// From now on products take AVX-512 VNNI again. The process keeps its leave.
inline void disable_amx() noexcept {
#if defined(PLANISH_HAS_AMX_INT8)
  kernels::cpu::isa::use_tiles(false);
#endif
}

/// Whether products of enough rows take tiles.
[[nodiscard]] inline bool amx_is_enabled() noexcept {
#if defined(PLANISH_HAS_AMX_INT8)
  return kernels::cpu::isa::tiles_are_enabled();
#else
  return false;
#endif
}

}  // namespace planish::inline PLANISH_ABI
