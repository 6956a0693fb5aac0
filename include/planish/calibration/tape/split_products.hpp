#pragma once
#include <planish/backend/enable_amx.hpp>
#include <planish/calibration/tape/tape.hpp>
#include <planish/kernels/cpu/split_product.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// Whether a tape's products may be Products::split_bfloat16: `unsupported`, in a sentence, where unit, CPU or host say
/// no.
[[nodiscard]] inline Status can_split_products() noexcept {
#if defined(PLANISH_HAS_AMX_BF16)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d >> 22 & 1) == 0)
    return {ErrorCode::unsupported, "products of split bfloat16 take a CPU with AMX-BF16; use float32 products"};
  if (!amx_is_enabled())
    return {ErrorCode::unsupported, "products of split bfloat16 take AMX: call enable_amx() first"};
  return {};
#else
  return {ErrorCode::unsupported,
          "products of split bfloat16 take a unit compiled with -mamx-tile -mamx-int8 -mamx-bf16 and the flags of "
          "AVX-512 VNNI and BF16; use float32 products"};
#endif
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
