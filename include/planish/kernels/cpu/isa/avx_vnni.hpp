#pragma once
// Integer operations with AVX-VNNI: vpdpbusd of 256 bits, unsigned weights times signed activations, four products
// added to an int32 without saturating.
#include <planish/core/abi.hpp>

#if defined(PLANISH_HAS_AVXVNNI)
#include <cstdint>
#include <immintrin.h>
#include <type_traits>

#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/avx2.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

/// Two nibbles to a byte: the low ones belong to channels 0 to 15 of a panel, the high ones to 16 to 31. The whole byte
/// is low + 16 · high, so its dot product minus the low one's is 16 times the high one's: no shift per line.
struct AvxVnniNibbles {
  static constexpr index load_bytes = 32;                // 8 + 8 channels × 4 columns
  static constexpr index most_columns = index{1} << 16;  // 255 · 128 · 2^16 < 2^31
  static constexpr int loads_per_tile(int rows) noexcept { return rows == 1 ? 2 : 1; }

  struct Weights {
    __m256i low, both;
  };
  using Activations = __m256i;
  struct Sums {
    __m256i low, both;
  };

  PLANISH_ALWAYS_INLINE static Weights load(const std::uint8_t* bytes) noexcept {
    const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    return {_mm256_and_si256(both, _mm256_set1_epi8(15)), both};
  }
  PLANISH_ALWAYS_INLINE static Activations broadcast(std::int32_t four) noexcept { return _mm256_set1_epi32(four); }
  PLANISH_ALWAYS_INLINE static Sums zero() noexcept { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  PLANISH_ALWAYS_INLINE static void add(Sums& sums, const Weights& w, Activations x) noexcept {
    sums.low = _mm256_dpbusd_avx_epi32(sums.low, w.low, x);
    sums.both = _mm256_dpbusd_avx_epi32(sums.both, w.both, x);
  }
  PLANISH_ALWAYS_INLINE static void merge(Sums& sums, const Sums& other) noexcept {
    sums.low = _mm256_add_epi32(sums.low, other.low);
    sums.both = _mm256_add_epi32(sums.both, other.both);
  }
  PLANISH_ALWAYS_INLINE static void store(const Sums& sums, std::int32_t* panel, int load) noexcept {
    store_sums(panel + 8 * load, sums.low);
    store_sums(panel + panel_width / 2 + 8 * load, _mm256_srai_epi32(_mm256_sub_epi32(sums.both, sums.low), 4));
  }
};

/// One code to a byte.
struct AvxVnniBytes {
  static constexpr index load_bytes = 32;  // 8 channels × 4 columns
  static constexpr index most_columns = index{1} << 17;
  static constexpr int loads_per_tile(int rows) noexcept { return rows == 1 ? 4 : 2; }

  using Weights = __m256i;
  using Activations = __m256i;
  struct Sums {
    __m256i all;
  };

  PLANISH_ALWAYS_INLINE static Weights load(const std::uint8_t* bytes) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  }
  PLANISH_ALWAYS_INLINE static Activations broadcast(std::int32_t four) noexcept { return _mm256_set1_epi32(four); }
  PLANISH_ALWAYS_INLINE static Sums zero() noexcept { return {_mm256_setzero_si256()}; }
  PLANISH_ALWAYS_INLINE static void add(Sums& sums, Weights w, Activations x) noexcept {
    sums.all = _mm256_dpbusd_avx_epi32(sums.all, w, x);
  }
  PLANISH_ALWAYS_INLINE static void merge(Sums& sums, const Sums& other) noexcept {
    sums.all = _mm256_add_epi32(sums.all, other.all);
  }
  PLANISH_ALWAYS_INLINE static void store(const Sums& sums, std::int32_t* panel, int load) noexcept {
    store_sums(panel + 8 * load, sums.all);
  }
};

/// The sum of a row's codes and the narrowing of codes are those of AVX2.
struct AvxVnni : Avx2 {
  static constexpr const char* name = "avxvnni";
  static constexpr int most_rows = tile_rows(6);  // × 2 vectors: 12 of the 16 registers add up

  template <CodeStorage Storage>
  using Dots = std::conditional_t<Storage == CodeStorage::nibble, AvxVnniNibbles, AvxVnniBytes>;
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
#endif
