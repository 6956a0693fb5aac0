#pragma once
// Leave to use AMX tiles: what the unit, the CPU and the operating system say.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/status.hpp>

#if defined(PLANISH_HAS_AMX_INT8)
#include <cpuid.h>
#endif

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

#if defined(PLANISH_HAS_AMX_INT8)
/// Whether this program's units of this instruction set use tiles. Read by every product, written by the host's call.
inline bool tiles_are_enabled_ = false;

[[nodiscard]] PLANISH_ALWAYS_INLINE bool tiles_are_enabled() noexcept {
  return __atomic_load_n(&tiles_are_enabled_, __ATOMIC_RELAXED);
}
PLANISH_ALWAYS_INLINE void use_tiles(bool use) noexcept {
  __atomic_store_n(&tiles_are_enabled_, use, __ATOMIC_RELAXED);
}

/// Whether the CPU has AMX-TILE and AMX-INT8.
[[nodiscard]] inline bool cpu_has_tiles() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d >> 24 & 3) == 3;
}

/// Asks Linux to let this process use tile data: 0, or what the kernel answers, a negative error number.
[[nodiscard]] inline long ask_for_tile_data() noexcept {
#if defined(__linux__) && defined(__LP64__)
  long result = 158;  // arch_prctl
  const long request_permission = 0x1023, tile_data = 18;
  asm volatile("syscall" : "+a"(result) : "D"(request_permission), "S"(tile_data) : "rcx", "r11", "memory");
  return result;
#else
  return -38;  // ENOSYS
#endif
}
#endif

/// What enable_amx returns.
[[nodiscard]] inline Status enable_tiles() noexcept {
#if defined(PLANISH_HAS_AMX_INT8)
  if (!cpu_has_tiles())
    return {ErrorCode::unsupported, "this CPU has no AMX-INT8, or a virtual machine hides it: products take AVX-512"};
  const long answer = ask_for_tile_data();
  if (answer == -28)
    return {ErrorCode::unsupported,
            "Linux refuses AMX tiles: a thread has an alternate signal stack (sigaltstack) that is too small to save "
            "them; make it larger or enable AMX before it is set"};
  if (answer != 0)
    return {ErrorCode::unsupported, "the operating system refuses AMX tiles (error ", -answer,
            "): it takes Linux 5.16 or newer; products take AVX-512"};
  use_tiles(true);
  return {};
#else
  return {ErrorCode::unsupported,
          "this unit is compiled without AMX: compile it with -mamx-tile -mamx-int8 and the flags of AVX-512 VNNI"};
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
