#pragma once
// Integer operations with AVX-512 VNNI: vpdpbusd multiplies unsigned weights with signed activations and adds four
// products to an int32 without saturating. Where an intrinsic starts from an undefined register, GCC 12 warns in the
// host's code; the zero-masking form with a full mask is the same instruction without that.
#include <planish/core/abi.hpp>

#if defined(PLANISH_HAS_AVX512VNNI)
#include <cstdint>
#include <immintrin.h>

#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/portable.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

[[nodiscard]] PLANISH_ALWAYS_INLINE __m512i dot_add(__m512i sums, __m512i weights, __m512i activations) noexcept {
#if defined(__GNUC__) && !defined(__clang__)
  // GCC 12 copies and spills accumulators around the intrinsic in larger loop nests, at half the speed.
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(weights), "v"(activations));
  return sums;
#else
  return _mm512_dpbusd_epi32(sums, weights, activations);
#endif
}

/// Two nibbles to a byte: the low ones belong to channels 0 to 15 of a panel, the high ones to 16 to 31. The whole byte
/// is low + 16 · high, so its dot product minus the low one's is 16 times the high one's: no shift per line.
struct Avx512VnniNibbles {
  static constexpr index load_bytes = 64;
  static constexpr index most_columns = index{1} << 16;  // 255 · 128 · 2^16 < 2^31
  static constexpr int loads_per_tile(int /*rows*/) noexcept { return 1; }

  struct Weights {
    __m512i low, both;
  };
  using Activations = __m512i;
  struct Sums {
    __m512i low, both;
  };

  PLANISH_ALWAYS_INLINE static Weights load(const std::uint8_t* bytes) noexcept {
    const __m512i both = _mm512_loadu_si512(bytes);
    return {_mm512_and_si512(both, _mm512_set1_epi8(15)), both};
  }
  PLANISH_ALWAYS_INLINE static Activations broadcast(std::int32_t four) noexcept { return _mm512_set1_epi32(four); }
  PLANISH_ALWAYS_INLINE static Sums zero() noexcept { return {_mm512_setzero_si512(), _mm512_setzero_si512()}; }
  PLANISH_ALWAYS_INLINE static void add(Sums& sums, const Weights& w, Activations x) noexcept {
    sums.low = dot_add(sums.low, w.low, x);
    sums.both = dot_add(sums.both, w.both, x);
  }
  PLANISH_ALWAYS_INLINE static void merge(Sums& sums, const Sums& other) noexcept {
    sums.low = _mm512_add_epi32(sums.low, other.low);
    sums.both = _mm512_add_epi32(sums.both, other.both);
  }
  PLANISH_ALWAYS_INLINE static void store(const Sums& sums, std::int32_t* panel, int /*load*/) noexcept {
    _mm512_storeu_si512(panel, sums.low);
    _mm512_storeu_si512(panel + panel_width / 2,
                        _mm512_maskz_srai_epi32(0xffff, _mm512_sub_epi32(sums.both, sums.low), 4));
  }

  /// Sums that start at a number; what wraps on the way comes back, because the low sum and 16 times the high one, both
  /// with their zero point, stay inside int32 together.
  PLANISH_ALWAYS_INLINE static Sums start(const std::int32_t* at) noexcept {
    const __m512i low = _mm512_set1_epi32(*at);
    return {low, _mm512_add_epi32(low, _mm512_maskz_slli_epi32(0xffff, low, 4))};
  }
  template <int Vector>
  [[nodiscard]] PLANISH_ALWAYS_INLINE static IntBatch vector(const Sums (&sums)[1]) noexcept {
    if constexpr (Vector == 0)
      return IntBatch(sums[0].low);
    else
      return IntBatch(_mm512_maskz_srai_epi32(0xffff, _mm512_sub_epi32(sums[0].both, sums[0].low), 4));
  }
};

/// One code to a byte.
struct Avx512VnniBytes {
  static constexpr index load_bytes = 64;  // 16 channels × 4 columns
  static constexpr index most_columns = index{1} << 17;
  static constexpr int loads_per_tile(int /*rows*/) noexcept { return 2; }

  using Weights = __m512i;
  using Activations = __m512i;
  struct Sums {
    __m512i all;
  };

  PLANISH_ALWAYS_INLINE static Weights load(const std::uint8_t* bytes) noexcept { return _mm512_loadu_si512(bytes); }
  PLANISH_ALWAYS_INLINE static Activations broadcast(std::int32_t four) noexcept { return _mm512_set1_epi32(four); }
  PLANISH_ALWAYS_INLINE static Sums zero() noexcept { return {_mm512_setzero_si512()}; }
  PLANISH_ALWAYS_INLINE static void add(Sums& sums, Weights w, Activations x) noexcept {
    sums.all = dot_add(sums.all, w, x);
  }
  PLANISH_ALWAYS_INLINE static void merge(Sums& sums, const Sums& other) noexcept {
    sums.all = _mm512_add_epi32(sums.all, other.all);
  }
  PLANISH_ALWAYS_INLINE static void store(const Sums& sums, std::int32_t* panel, int load) noexcept {
    _mm512_storeu_si512(panel + 16 * load, sums.all);
  }

  PLANISH_ALWAYS_INLINE static Sums start(const std::int32_t* at) noexcept { return {_mm512_set1_epi32(*at)}; }
  PLANISH_ALWAYS_INLINE static Sums resume(const std::int32_t* panel, int load) noexcept {
    return {_mm512_loadu_si512(panel + 16 * load)};
  }
  template <int Vector>
  [[nodiscard]] PLANISH_ALWAYS_INLINE static IntBatch vector(const Sums (&sums)[2]) noexcept {
    return IntBatch(sums[Vector].all);
  }
};

[[nodiscard]] PLANISH_ALWAYS_INLINE std::int32_t sum_of_lanes(__m512i lanes) noexcept {
  const __m256i half =
      _mm256_add_epi32(_mm512_maskz_extracti64x4_epi64(0xf, lanes, 0), _mm512_maskz_extracti64x4_epi64(0xf, lanes, 1));
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

struct Avx512Vnni {
  static constexpr const char* name = "avx512vnni";
  static constexpr int most_rows = tile_rows(12);  // × 2 vectors: 24 of the 32 registers add up

  template <CodeStorage Storage>
  using Dots = std::conditional_t<Storage == CodeStorage::nibble, Avx512VnniNibbles, Avx512VnniBytes>;

  static constexpr bool keeps_sums_in_registers = true;  // see register_tiles.hpp

  /// Lines of nibbles as lines of bytes.
  static void expand_lines(const std::uint8_t* nibbles, index lines, std::uint8_t* bytes) noexcept {
    const __m512i mask = _mm512_set1_epi8(15);
    for (index l = 0; l < lines; ++l, nibbles += 64, bytes += 128) {
      const __m512i both = _mm512_loadu_si512(nibbles);
      _mm512_store_si512(bytes, _mm512_and_si512(both, mask));
      _mm512_store_si512(bytes + 64, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask));
    }
  }

  PLANISH_ALWAYS_INLINE static std::int32_t sum_of_codes(const std::int8_t* codes, index count) noexcept {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sums = _mm512_setzero_si512(), others[3] = {sums, sums, sums};
    index i = 0;
    for (; i + 256 <= count; i += 256) {  // an addition takes longer than one takes to start
      sums = dot_add(sums, ones, _mm512_loadu_si512(codes + i));
      for (int next = 0; next < 3; ++next)
        others[next] = dot_add(others[next], ones, _mm512_loadu_si512(codes + i + 64 * (next + 1)));
    }
    sums = _mm512_add_epi32(_mm512_add_epi32(sums, others[0]), _mm512_add_epi32(others[1], others[2]));
    for (; i + 64 <= count; i += 64) sums = dot_add(sums, ones, _mm512_loadu_si512(codes + i));
    if (i == count) return sum_of_lanes(sums);
    const __mmask64 rest = (__mmask64{1} << (count - i)) - 1;
    sums = dot_add(sums, ones, _mm512_maskz_loadu_epi8(rest, codes + i));
    return sum_of_lanes(sums);
  }

  /// Narrows integers that fit int8.
  template <class Batch>
  PLANISH_ALWAYS_INLINE static void store_codes(Batch values, std::int8_t* to) noexcept {
    if constexpr (Batch::size == 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_maskz_cvtepi32_epi8(0xffff, values));
    } else {
      Portable::store_codes(values, to);
    }
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
#endif
