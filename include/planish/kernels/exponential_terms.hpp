#pragma once
// The constants of softmax and SwiGLU, the same in every backend.
#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI::kernels {

/// 2^r = 1 + c₁ r + … + c₆ r⁶ on [−1/2, 1/2], relative error 1e-8: (2^r − 1) / r interpolated at Chebyshev nodes. The
/// constant is exactly 1, so 2^0 is 1.
inline constexpr float exponential_terms[] = {0x1.62e43p-1f,  0x1.ebfbep-3f,   0x1.c6af6cp-5f,
                                              0x1.3b2a54p-7f, 0x1.5f0890p-10f, 0x1.44138ap-13f};

/// Adding it rounds to a whole number n and leaves n in the low bits.
inline constexpr float exponential_round = 0x1.8p23f;

/// Powers below 2^−126 count as zero.
inline constexpr float exponential_least = -126.0f;

/// e^−x = 2^(−x log₂ e), at most 2^127, the largest power below infinity.
inline constexpr float swiglu_log2_e = 1.44269504f, swiglu_most = 127.0f;

}  // namespace planish::inline PLANISH_ABI::kernels
