#pragma once
#include <string_view>

#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/isa/avx2.hpp>
#include <planish/kernels/cpu/isa/avx512vnni.hpp>
#include <planish/kernels/cpu/isa/avx_vnni.hpp>
#include <planish/kernels/cpu/isa/best_name.hpp>
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
static_assert(std::string_view(Best::name) == best_name, "planish: isa/best_name.hpp and isa/best.hpp differ");

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
