#pragma once
// What stands before the transform of a row and is computed where the row is read: a layer's norm, or a gate. Element
// by element the formulas of kernels/reference, in float32.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/rescale.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/warp.cuh>
#include <planish/kernels/exponential_terms.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// What a row is before its transform: x itself; RMSNorm of x (arXiv 1910.07467), x / sqrt(mean(x²) + epsilon) ⊙ gain;
/// SwiGLU (arXiv 2002.05202), silu(x) ⊙ up. Equal to kernels/reference to the bit but for the order in which the
/// squares are summed, in float64: the factor of a row may be off by its last bit, once in 10⁵ rows or less.
enum class Prologue : std::uint8_t { none, rms_norm, swiglu };

/// What a prologue takes beside x; pointers of device memory. Behind any, none included, columns meet (x − offset) ⊙
/// scale, in float32 arithmetic only.
struct PrologueArguments {
  const float* gain = nullptr;    // of rms_norm: one per column; null: 1
  float epsilon = 0.0f;           // of rms_norm
  const void* up = nullptr;       // of swiglu: rows of x's type and shape
  std::int64_t up_stride = 0;     // elements
  const float* offset = nullptr;  // one per column; null: 0
  const float* scale = nullptr;   // one per column; null: 1
};

/// 2^x as kernels/reference/exponential.hpp has it: the same operations in the same order. `Small`: |x| is far below
/// 126.
template <bool Small = false>
[[nodiscard]] PLANISH_DEVICE float power_of_two(float x) noexcept {
  constexpr float c1 = exponential_terms[0], c2 = exponential_terms[1], c3 = exponential_terms[2],
                  c4 = exponential_terms[3], c5 = exponential_terms[4], c6 = exponential_terms[5];
  const float shifted = x + exponential_round;
  const float r = x - (shifted - exponential_round);
  float power = multiply_add(c6, r, c5);
  power = multiply_add(power, r, c4);
  power = multiply_add(power, r, c3);
  power = multiply_add(power, r, c2);
  power = multiply_add(power, r, c1);
  power = multiply_add(power, r, 1.0f);
  power *= __builtin_bit_cast(float, (__builtin_bit_cast(std::uint32_t, shifted) << 23) + 0x3f800000u);
  return !Small && x < exponential_least ? 0.0f : power;
}

#if defined(__CUDACC__)
/// x / d without the branch of a division, d in [1, 2^64]: correctly rounded but for quotients that almost lie between
/// two floats.
[[nodiscard]] PLANISH_DEVICE float quick_quotient(float x, float d) noexcept {
  float reciprocal;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(d));
  const float quotient = x * reciprocal;
  return fused_multiply_add(fused_multiply_add(-d, quotient, x), reciprocal, quotient);
}
#else
inline float quick_quotient(float x, float d) noexcept { return x / d; }
#endif

/// silu(gate) · up, without that branch.
[[nodiscard]] PLANISH_DEVICE float gated_afar(float gate, float up) noexcept {
  const float exponent = gate * -swiglu_log2_e;
  const float unit = exponent > 64.0f ? 0x1p-64f : 1.0f;  // there 1 + e^-gate is e^-gate
  const float power = power_of_two(exponent > swiglu_most ? swiglu_most : exponent);
  return quick_quotient(gate * unit, (1.0f + power) * unit) * up;
}

/// silu(gate) · up.
[[nodiscard]] PLANISH_DEVICE float gated(float gate, float up) noexcept {
  const float exponent = gate * -swiglu_log2_e;
  return gate / (1.0f + power_of_two(exponent > swiglu_most ? swiglu_most : exponent)) * up;
}

/// (x − offset) ⊙ scale in column `c`. What x was a product of is rounded first: compilers that fused it with the
/// difference would give other codes than the reference.
[[nodiscard]] PLANISH_DEVICE float mapped(float x, const PrologueArguments& p, int c) noexcept {
#if defined(__CUDA_ARCH__)
  if (p.offset != nullptr) x = __fsub_rn(x, p.offset[c]);
#else
  if (p.offset != nullptr) x = planish::detail::rounded_product(x, 1.0f) - p.offset[c];
#endif
  return p.scale == nullptr ? x : x * p.scale[c];
}

/// The factor of a row whose squares have this sum.
[[nodiscard]] PLANISH_DEVICE float norm_factor(double squares, int columns, float epsilon) noexcept {
  return static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(columns) + static_cast<double>(epsilon)));
}

/// The same by a step of Newton's from a float32 estimate, where that is far from the ends of its exponent; off by a
/// float32 ulp once in 10⁵ rows. `share`: 1 / columns.
[[nodiscard]] PLANISH_DEVICE float quick_norm_factor(double squares, double share, float epsilon) noexcept {
  const double mean = squares * share + static_cast<double>(epsilon);
#if defined(__CUDA_ARCH__)
  if (mean > 0x1p-100 && mean < 0x1p100) {
    const double estimate = static_cast<double>(rsqrtf(static_cast<float>(mean)));
    return static_cast<float>(estimate * (1.5 - 0.5 * mean * estimate * estimate));
  }
#endif
  return static_cast<float>(1.0 / std::sqrt(mean));
}

/// The sum over all lanes of a warp, in each.
[[nodiscard]] PLANISH_DEVICE double sum_warp(double value) noexcept {
  struct Halves {
    int words[2];
  };
  PLANISH_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) {
    const auto own = __builtin_bit_cast(Halves, value);
    const Halves other{{shuffle_xor(own.words[0], mask), shuffle_xor(own.words[1], mask)}};
    value += __builtin_bit_cast(double, other);
  }
  return value;
}

/// Sum over the threads of a group of whole warps, in each, by room for a double per warp. Who calls it again must meet
/// the group at a barrier in between.
[[nodiscard]] PLANISH_DEVICE double sum_group(double value, int thread, int threads, int barrier,
                                              double* meeting) noexcept {
  value = sum_warp(value);
  if (thread % warp_size == 0) meeting[thread / warp_size] = value;
  group_barrier(barrier, threads);
  value = 0.0;
  for (int i = 0; i < threads / warp_size; ++i) value += meeting[i];
  return value;
}

/// Element `half` of a word of two.
template <class E>
[[nodiscard]] PLANISH_DEVICE float widened(std::uint32_t word, int half) noexcept {
  return widen(E{static_cast<std::uint16_t>(word >> (16 * half))});
}

/// The squares of 16 bytes of elements, added to `sum`.
template <class E>
[[nodiscard]] PLANISH_DEVICE double add_squares(const Vector16& v, double sum) noexcept {
  double parts[4];
  PLANISH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const auto x = static_cast<double>(widened<E>(v.words[i], 0)), y = static_cast<double>(widened<E>(v.words[i], 1));
    parts[i] = x * x + y * y;
  }
  return sum + ((parts[0] + parts[1]) + (parts[2] + parts[3]));
}

/// Eight gains from `element` on; of null: 1.
PLANISH_DEVICE void load_eight_gains(const float* gain, int element, float (&gains)[8]) noexcept {
  PLANISH_UNROLL
  for (float& one : gains) one = 1.0f;
  if (gain == nullptr) return;
  PLANISH_UNROLL
  for (int i = 0; i < 8; i += 4) {
    const Vector16 four = *reinterpret_cast<const Vector16*>(gain + element + i);
    PLANISH_UNROLL
    for (int j = 0; j < 4; ++j) gains[i + j] = __builtin_bit_cast(float, four.words[j]);
  }
}

/// Elements times the row's factor and their gains, rounded.
template <class E>
[[nodiscard]] PLANISH_DEVICE Vector16 normed(Vector16 v, float factor, const float (&gains)[8]) noexcept {
  PLANISH_UNROLL
  for (int i = 0; i < 4; ++i)
    v.words[i] = round_pair(E{}, widened<E>(v.words[i], 0) * factor * gains[2 * i],
                            widened<E>(v.words[i], 1) * factor * gains[2 * i + 1]);
  return v;
}

/// silu(gate) · up of eight elements, rounded. Where e^-gate can neither vanish nor drown what is added, as almost
/// everywhere, without the branches of the general formula.
template <class E>
[[nodiscard]] PLANISH_DEVICE Vector16 gated(Vector16 gate, const Vector16& up) noexcept {
  constexpr std::uint32_t far = std::is_same_v<E, BFloat16> ? 0x4220u : 0x5100u;  // 40
  bool usual = true;
  PLANISH_UNROLL
  for (int i = 0; i < 4; ++i) usual = usual && (gate.words[i] & 0x7fffu) < far && (gate.words[i] >> 16 & 0x7fffu) < far;
  const auto quickly = [](float x, float y) {
    return quick_quotient(x, 1.0f + power_of_two<true>(x * -swiglu_log2_e)) * y;
  };
  PLANISH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const float x = widened<E>(gate.words[i], 0), y = widened<E>(gate.words[i], 1);
    const float u = widened<E>(up.words[i], 0), v = widened<E>(up.words[i], 1);
    if (usual) {
      gate.words[i] = round_pair(E{}, quickly(x, u), quickly(y, v));
    } else {
      gate.words[i] = round_pair(E{}, gated_afar(x, u), gated_afar(y, v));
    }
  }
  return gate;
}

namespace detail {
/// Whether a prologue has what it takes. `aligned`: its rows are read 16 bytes at a time.
[[nodiscard]] inline Status check_prologue(Prologue prologue, const PrologueArguments& p, bool aligned) noexcept {
  const auto off = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 != 0; };
  if (prologue == Prologue::rms_norm && !(p.epsilon >= 0.0f && p.epsilon < 1.0f))
    return {ErrorCode::invalid_argument, "the epsilon of a norm before a transform must be in [0, 1)"};
  if (prologue == Prologue::rms_norm && aligned && off(p.gain))
    return {ErrorCode::invalid_argument, "gains of a norm before a transform must lie on a multiple of 16 bytes"};
  if (prologue == Prologue::swiglu && p.up == nullptr)
    return {ErrorCode::invalid_argument, "a transform planned for SwiGLU needs `up` beside x, which is the gate"};
  if (prologue == Prologue::swiglu && aligned && (off(p.up) || p.up_stride % 8 != 0))
    return {ErrorCode::invalid_argument, "rows of `up` must begin on multiples of 16 bytes"};
  return {};
}
}  // namespace detail

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
