#pragma once
// Integer operations in plain C++, for every target; the loops have constant length, so that compilers vectorise them.
//
// Each ISA file offers the same: Dots<storage> with
//   load_bytes        bytes of a panel line that one load takes
//   most_columns      longest run of columns whose sums stay exact inside Sums
//   Weights           expanded weights of one load; Activations: 4 codes, ready to meet them; Sums: what they add up to
//   load, broadcast, zero, add, merge
//   store             writes finished int32 sums to the 32 channels of a panel
// and sum_of_codes, store_codes, most_rows (rows of a register tile), loads_per_tile. Two more ways of adding up are
// chosen where they are offered: Dots::widen, for 16-bit activations (widened_tiles.hpp); keeps_sums_in_registers with
// expand_lines and Dots::start, vector and, for bytes, resume (register_tiles.hpp).
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

struct Portable {
  static constexpr const char* name = "portable";
  static constexpr int most_rows = tile_rows(2);

  template <CodeStorage Storage>
  struct Dots {
    static constexpr index load_bytes = 16;  // 4 channels × 4 columns
    static constexpr index most_columns = index{1} << 17;
    static constexpr int loads_per_tile(int /*rows*/) noexcept { return 2; }
    static constexpr int codes_per_byte = Storage == CodeStorage::nibble ? 2 : 1;

    struct Weights {
      std::int16_t values[codes_per_byte][16];
    };
    struct Activations {
      std::int16_t values[16];
    };
    struct Sums {
      std::int32_t values[codes_per_byte][16];
    };

    PLANISH_ALWAYS_INLINE static Weights load(const std::uint8_t* bytes) noexcept {
      Weights w;
      for (int i = 0; i < 16; ++i) {
        if constexpr (Storage == CodeStorage::nibble) {
          w.values[0][i] = static_cast<std::int16_t>(bytes[i] & 15);
          w.values[1][i] = static_cast<std::int16_t>(bytes[i] >> 4);
        } else {
          w.values[0][i] = bytes[i];
        }
      }
      return w;
    }
    PLANISH_ALWAYS_INLINE static Activations broadcast(std::int32_t four) noexcept {
      std::int8_t codes[4];
      std::memcpy(codes, &four, sizeof codes);
      Activations x;
      for (int i = 0; i < 16; ++i) x.values[i] = codes[i % 4];
      return x;
    }
    PLANISH_ALWAYS_INLINE static Sums zero() noexcept { return {}; }
    PLANISH_ALWAYS_INLINE static void add(Sums& sums, const Weights& w, const Activations& x) noexcept {
      for (int part = 0; part < codes_per_byte; ++part)
        for (int i = 0; i < 16; ++i) sums.values[part][i] += w.values[part][i] * x.values[i];
    }
    PLANISH_ALWAYS_INLINE static void merge(Sums& sums, const Sums& other) noexcept {
      for (int part = 0; part < codes_per_byte; ++part)
        for (int i = 0; i < 16; ++i) sums.values[part][i] += other.values[part][i];
    }
    PLANISH_ALWAYS_INLINE static void store(const Sums& sums, std::int32_t* panel, int load) noexcept {
      for (int part = 0; part < codes_per_byte; ++part) {
        for (int channel = 0; channel < 4; ++channel) {
          const std::int32_t* four = sums.values[part] + 4 * channel;
          // unsigned: a 17-bit row of 255 · 127 wraps, and the zero point brings it back
          const auto sum = static_cast<std::uint32_t>(four[0]) + static_cast<std::uint32_t>(four[1]) +
                           static_cast<std::uint32_t>(four[2]) + static_cast<std::uint32_t>(four[3]);
          std::int32_t& to = panel[part * panel_width / 2 + load * 4 + channel];
          to = static_cast<std::int32_t>(sum);
        }
      }
    }
  };

  PLANISH_ALWAYS_INLINE static std::int32_t sum_of_codes(const std::int8_t* codes, index count) noexcept {
    std::int32_t sum = 0;
    for (index i = 0; i < count; ++i) sum += codes[i];
    return sum;
  }

  /// Narrows integers that fit int8.
  PLANISH_ALWAYS_INLINE static void store_codes(IntBatch values, std::int8_t* to) noexcept {
    alignas(64) std::int32_t lanes[IntBatch::size];
    values.store_aligned(lanes);
    for (std::size_t i = 0; i < IntBatch::size; ++i) to[i] = static_cast<std::int8_t>(lanes[i]);
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
