#pragma once
#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/isa/avx2.hpp>
#include <planish/kernels/cpu/isa/avx512vnni.hpp>
#include <planish/kernels/cpu/isa/avx_vnni.hpp>
#include <planish/kernels/cpu/isa/neon.hpp>
#include <planish/kernels/cpu/isa/portable.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

/// The widest integer operations that this translation unit may use.
#if defined(PLANISH_HAS_AVX512VNNI)
using Best = Avx512Vnni;
#elif defined(PLANISH_HAS_AVXVNNI)
using Best = AvxVnni;
#elif defined(PLANISH_HAS_AVX2)
using Best = Avx2;
#elif defined(PLANISH_HAS_NEON_I8MM)
using Best = NeonI8mm;
#elif defined(PLANISH_HAS_NEON_DOTPROD)
using Best = NeonDotprod;
#else
using Best = Portable;
#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
