#pragma once
// Integer operations with the dot products of AArch64: sdot of signed bytes (dotprod), and, with i8mm, usdot of
// unsigned weights with signed activations.
#include <planish/core/abi.hpp>

#if defined(PLANISH_HAS_NEON_DOTPROD)
#include <arm_neon.h>
#include <cstdint>
#include <type_traits>

#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/portable.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

/// Two nibbles to a byte: the low ones belong to channels 0 to 15 of a panel, the high ones to 16 to 31. At most 15,
/// they are signed bytes as well.
struct NeonNibbles {
  static constexpr index load_bytes = 16;  // 4 + 4 channels × 4 columns
  static constexpr index most_columns = index{1} << 17;
  static constexpr int loads_per_tile(int rows) noexcept { return rows == 1 ? 4 : 2; }

  struct Weights {
    int8x16_t low, high;
  };
  using Activations = int8x16_t;
  struct Sums {
    int32x4_t low, high;
  };

  PLANISH_ALWAYS_INLINE static Weights load(const std::uint8_t* bytes) noexcept {
    const uint8x16_t both = vld1q_u8(bytes);
    return {vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))), vreinterpretq_s8_u8(vshrq_n_u8(both, 4))};
  }
  PLANISH_ALWAYS_INLINE static Activations broadcast(std::int32_t four) noexcept {
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  PLANISH_ALWAYS_INLINE static Sums zero() noexcept { return {vdupq_n_s32(0), vdupq_n_s32(0)}; }
  PLANISH_ALWAYS_INLINE static void add(Sums& sums, const Weights& w, Activations x) noexcept {
    sums.low = vdotq_s32(sums.low, w.low, x);
    sums.high = vdotq_s32(sums.high, w.high, x);
  }
  PLANISH_ALWAYS_INLINE static void merge(Sums& sums, const Sums& other) noexcept {
    sums.low = vaddq_s32(sums.low, other.low);
    sums.high = vaddq_s32(sums.high, other.high);
  }
  PLANISH_ALWAYS_INLINE static void store(const Sums& sums, std::int32_t* panel, int load) noexcept {
    vst1q_s32(panel + 4 * load, sums.low);
    vst1q_s32(panel + panel_width / 2 + 4 * load, sums.high);
  }
};

/// One code to a byte, 0 to 255, for sdot as a signed byte 128 below: Σ w x = Σ (w − 128) x + 128 Σ x, of which the
/// last part is the same for all weights and is paid once for four activations.
struct NeonDotBytes {
  static constexpr index load_bytes = 16;  // 4 channels × 4 columns
  static constexpr index most_columns = index{1} << 17;
  static constexpr int loads_per_tile(int rows) noexcept { return rows == 1 ? 8 : 4; }

  using Weights = int8x16_t;
  struct Activations {
    int8x16_t codes;
    int32x4_t offset;  // −128 Σ x
  };
  struct Sums {
    int32x4_t all;
  };

  PLANISH_ALWAYS_INLINE static Weights load(const std::uint8_t* bytes) noexcept {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(bytes), vdupq_n_u8(0x80)));
  }
  PLANISH_ALWAYS_INLINE static Activations broadcast(std::int32_t four) noexcept {
    const int8x16_t codes = vreinterpretq_s8_s32(vdupq_n_s32(four));
    return {codes, vdotq_s32(vdupq_n_s32(0), vdupq_n_s8(-128), codes)};
  }
  PLANISH_ALWAYS_INLINE static Sums zero() noexcept { return {vdupq_n_s32(0)}; }
  PLANISH_ALWAYS_INLINE static void add(Sums& sums, Weights w, const Activations& x) noexcept {
    sums.all = vdotq_s32(vsubq_s32(sums.all, x.offset), w, x.codes);
  }
  PLANISH_ALWAYS_INLINE static void merge(Sums& sums, const Sums& other) noexcept {
    sums.all = vaddq_s32(sums.all, other.all);
  }
  PLANISH_ALWAYS_INLINE static void store(const Sums& sums, std::int32_t* panel, int load) noexcept {
    vst1q_s32(panel + 4 * load, sums.all);
  }
};

#if defined(PLANISH_HAS_NEON_I8MM)
/// One code to a byte, as it is.
struct NeonI8mmBytes : NeonDotBytes {
  using Weights = uint8x16_t;
  using Activations = int8x16_t;

  PLANISH_ALWAYS_INLINE static Weights load(const std::uint8_t* bytes) noexcept { return vld1q_u8(bytes); }
  PLANISH_ALWAYS_INLINE static Activations broadcast(std::int32_t four) noexcept {
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  PLANISH_ALWAYS_INLINE static void add(Sums& sums, Weights w, Activations x) noexcept {
    sums.all = vusdotq_s32(sums.all, w, x);
  }
};
#endif

struct NeonDotprod {
  static constexpr const char* name = "neon_dotprod";
  static constexpr int most_rows = tile_rows(6);  // × 4 vectors: 24 of the 32 registers add up

  template <CodeStorage Storage>
  using Dots = std::conditional_t<Storage == CodeStorage::nibble, NeonNibbles, NeonDotBytes>;

  PLANISH_ALWAYS_INLINE static std::int32_t sum_of_codes(const std::int8_t* codes, index count) noexcept {
    int32x4_t sums = vdupq_n_s32(0);
    index i = 0;
    for (; i + 16 <= count; i += 16) sums = vdotq_s32(sums, vld1q_s8(codes + i), vdupq_n_s8(1));
    return vaddvq_s32(sums) + Portable::sum_of_codes(codes + i, count - i);
  }

  /// Narrows integers that fit int8.
  PLANISH_ALWAYS_INLINE static void store_codes(IntBatch values, std::int8_t* to) noexcept {
    const int16x4_t words = vmovn_s32(values);
    vst1_lane_s32(reinterpret_cast<std::int32_t*>(to), vreinterpret_s32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
  }
};

#if defined(PLANISH_HAS_NEON_I8MM)
struct NeonI8mm : NeonDotprod {
  static constexpr const char* name = "neon_i8mm";

  template <CodeStorage Storage>
  using Dots = std::conditional_t<Storage == CodeStorage::nibble, NeonNibbles, NeonI8mmBytes>;
};
#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
#endif
