#pragma once
// Integer operations with AVX2. Nothing saturates: nibbles (at most 15) times int8 pairs stay inside int16, bytes are
// widened to 16 bits first.
#include <planish/core/abi.hpp>

#if defined(PLANISH_HAS_AVX2)
#include <cstdint>
#include <cstring>
#include <immintrin.h>

#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/portable.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

PLANISH_ALWAYS_INLINE void store_sums(std::int32_t* to, __m256i sums) noexcept {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sums);
}

/// sums + terms.
[[nodiscard]] PLANISH_ALWAYS_INLINE __m256i add_terms(__m256i sums, __m256i terms) noexcept {
#if defined(__GNUC__) && !defined(__clang__)
  // GCC 12 keeps every sum of a tile on the stack around the intrinsic, at half the speed.
  asm("vpaddd %1, %0, %0" : "+x"(sums) : "x"(terms));
  return sums;
#else
  return _mm256_add_epi32(sums, terms);
#endif
}

/// Two nibbles to a byte: the low ones belong to channels 0 to 15 of a panel, the high ones to 16 to 31.
struct Avx2Nibbles {
  static constexpr index load_bytes = 32;  // 8 + 8 channels × 4 columns
  static constexpr index most_columns = index{1} << 17;
  static constexpr int loads_per_tile(int rows) noexcept { return rows == 1 ? 2 : 1; }

  struct Weights {
    __m256i low, high;
  };
  using Activations = __m256i;
  struct Sums {
    __m256i low, high;
  };

  PLANISH_ALWAYS_INLINE static Weights load(const std::uint8_t* bytes) noexcept {
    const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(both, mask), _mm256_and_si256(_mm256_srli_epi16(both, 4), mask)};
  }
  PLANISH_ALWAYS_INLINE static Activations broadcast(std::int32_t four) noexcept { return _mm256_set1_epi32(four); }
  PLANISH_ALWAYS_INLINE static Sums zero() noexcept { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  PLANISH_ALWAYS_INLINE static void add(Sums& sums, const Weights& w, Activations x) noexcept {
    const __m256i ones = _mm256_set1_epi16(1);
    sums.low = add_terms(sums.low, _mm256_madd_epi16(_mm256_maddubs_epi16(w.low, x), ones));
    sums.high = add_terms(sums.high, _mm256_madd_epi16(_mm256_maddubs_epi16(w.high, x), ones));
  }
  /// Two lines at once: four products of nibbles and bytes fit int16 together.
  PLANISH_ALWAYS_INLINE static void add_two(Sums& sums, const Weights& w, Activations x, const Weights& next_w,
                                            Activations next_x) noexcept {
    const __m256i ones = _mm256_set1_epi16(1);
    const auto terms = [&](__m256i a, __m256i b) __attribute__((always_inline)) {
      return _mm256_madd_epi16(_mm256_add_epi16(_mm256_maddubs_epi16(a, x), _mm256_maddubs_epi16(b, next_x)), ones);
    };
    sums.low = add_terms(sums.low, terms(w.low, next_w.low));
    sums.high = add_terms(sums.high, terms(w.high, next_w.high));
  }
  PLANISH_ALWAYS_INLINE static void merge(Sums& sums, const Sums& other) noexcept {
    sums.low = _mm256_add_epi32(sums.low, other.low);
    sums.high = _mm256_add_epi32(sums.high, other.high);
  }
  PLANISH_ALWAYS_INLINE static void store(const Sums& sums, std::int32_t* panel, int load) noexcept {
    store_sums(panel + 8 * load, sums.low);
    store_sums(panel + panel_width / 2 + 8 * load, sums.high);
  }
};

/// One code to a byte. Both sides meet as 16-bit numbers: activations are widened once for all channels of a tile.
struct Avx2Bytes {
  static constexpr index load_bytes = 32;      // 8 channels × 4 columns
  static constexpr index most_columns = 1024;  // of which widened activations wait in the first-level cache
  static constexpr int loads_per_tile(int rows) noexcept { return rows == 1 ? 4 : 1; }

  struct Weights {
    __m256i first, second;  // 16 bits each: channels 0 1 4 5 and 2 3 6 7
  };
  using Activations = __m256i;  // 4 codes of 16 bits, four times
  struct Sums {
    __m256i first, second;  // columns 0 + 1 and 2 + 3 of those channels, side by side
  };

  PLANISH_ALWAYS_INLINE static Weights load(const std::uint8_t* bytes) noexcept {
    const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    const __m256i zero = _mm256_setzero_si256();
    return {_mm256_unpacklo_epi8(codes, zero), _mm256_unpackhi_epi8(codes, zero)};
  }
  static void widen(const std::int8_t* codes, index count, std::int16_t* to) noexcept {
    index i = 0;
    for (; i + 16 <= count; i += 16)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i),
                          _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i))));
    for (; i < count; ++i) to[i] = codes[i];
  }
  PLANISH_ALWAYS_INLINE static Activations broadcast(const std::int16_t* four) noexcept {
    std::int64_t codes;
    std::memcpy(&codes, four, sizeof codes);
    return _mm256_set1_epi64x(codes);
  }
  PLANISH_ALWAYS_INLINE static Sums zero() noexcept { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  PLANISH_ALWAYS_INLINE static void add(Sums& sums, const Weights& w, Activations x) noexcept {
    sums.first = add_terms(sums.first, _mm256_madd_epi16(w.first, x));
    sums.second = add_terms(sums.second, _mm256_madd_epi16(w.second, x));
  }
  PLANISH_ALWAYS_INLINE static void merge(Sums& sums, const Sums& other) noexcept {
    sums.first = _mm256_add_epi32(sums.first, other.first);
    sums.second = _mm256_add_epi32(sums.second, other.second);
  }
  PLANISH_ALWAYS_INLINE static void store(const Sums& sums, std::int32_t* panel, int load) noexcept {
    store_sums(panel + 8 * load, _mm256_hadd_epi32(sums.first, sums.second));
  }
};

struct Avx2 {
  static constexpr const char* name = "avx2";
  static constexpr int most_rows = tile_rows(4);

  template <CodeStorage Storage>
  using Dots = std::conditional_t<Storage == CodeStorage::nibble, Avx2Nibbles, Avx2Bytes>;

  PLANISH_ALWAYS_INLINE static std::int32_t sum_of_codes(const std::int8_t* codes, index count) noexcept {
    const __m256i bytes_of_one = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
    __m256i sums = _mm256_setzero_si256();
    index i = 0;
    for (; i + 32 <= count; i += 32) {
      const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i));
      sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(bytes_of_one, x), ones));
    }
    alignas(32) std::int32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums);
    std::int32_t sum = 0;
    for (std::int32_t lane : lanes) sum += lane;
    return sum + Portable::sum_of_codes(codes + i, count - i);
  }

  /// Narrows integers that fit int8.
  template <class Batch>
  PLANISH_ALWAYS_INLINE static void store_codes(Batch values, std::int8_t* to) noexcept {
    if constexpr (Batch::size == 8) {
      const __m256i wide = values;
      const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi16(words, words));
    } else {
      Portable::store_codes(values, to);
    }
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
#endif
