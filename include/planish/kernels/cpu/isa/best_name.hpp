#pragma once
#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

/// The name of the widest integer operations that this translation unit may use (isa/best.hpp), for those who need no
/// more of them than that.
inline constexpr const char* best_name =
#if defined(PLANISH_HAS_AVX512VNNI)
    "avx512vnni";
#elif defined(PLANISH_HAS_AVXVNNI)
    "avxvnni";
#elif defined(PLANISH_HAS_AVX2)
    "avx2";
#elif defined(PLANISH_HAS_NEON_I8MM)
    "neon_i8mm";
#elif defined(PLANISH_HAS_NEON_DOTPROD)
    "neon_dotprod";
#else
    "portable";
#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
