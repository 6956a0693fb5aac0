#pragma once
// Codes of a page as floats: e = code − centre, exactly, a vector of lanes and one step at a time.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/field_floats.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Turns the words of a line (one per lane) into the floats of one of its steps.
template <int Width>
class CodeFloats {
 public:
  static constexpr int steps = static_cast<int>(line_steps(Width));

#if defined(__AVX512F__)
  // Up to four bits: sixteen floats fill a register, and a look-up ignores the bits above.
  static constexpr bool looks_up = Width <= 4;
#else
  static constexpr bool looks_up = false;
#endif

  PLANISH_ALWAYS_INLINE explicit CodeFloats(int bits) noexcept {
    const auto centre = static_cast<float>(code_centre(bits));
    if constexpr (looks_up) {
      alignas(64) float table[16];
      for (int i = 0; i < 16; ++i) table[i] = static_cast<float>(i % (1 << Width)) - centre;
      first_ = second_ = FloatBatch::load_aligned(table);
    } else {
      first_ = FloatBatch(static_cast<float>(field_base(0)) + centre);
      second_ = FloatBatch(static_cast<float>(field_base(8)) + centre);
    }
  }

  template <int Step>
  [[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch floats(IntBatch words) const noexcept {
    constexpr int bit = 8 * (Step % 4) + Width * (Step / 4);
    if constexpr (looks_up) {
#if defined(__AVX512F__)
      return look_up(first_, shifted<bit>(words));
#endif
    } else if constexpr (Width == 8) {  // in place, after one shift at most
      const FloatBatch field = float_of_field<bit % 16, Width>(shifted<bit / 16 * 16>(words));
      return field - (bit % 16 == 0 ? first_ : second_);
    } else {
      return float_of_field<0, Width>(shifted<bit>(words)) - first_;
    }
  }

 private:
  template <int Bit>
  [[nodiscard]] PLANISH_ALWAYS_INLINE static IntBatch shifted(IntBatch words) noexcept {
    if constexpr (Bit == 0)
      return words;
    else
      return words >> Bit;
  }

  FloatBatch first_, second_;
};

/// Words of the block's line at `line`, from lane `first_lane` on.
[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch code_words(const std::uint8_t* line, index first_lane) noexcept {
  return IntBatch::load_unaligned(reinterpret_cast<const std::int32_t*>(line + first_lane * 4));
}

/// All codes of a page, [steps][stride] floats, stride = lanes rounded up to whole blocks, steps rounded up to lines.
template <int Width>
inline void spread_codes(const std::uint8_t* codes, int bits, index lines, index blocks, float* out) noexcept {
  const CodeFloats<Width> reader(bits);
  const index stride = blocks * block_lanes;
  for (index line = 0; line < lines; ++line)
    for (index lane = 0; lane < stride; lane += float_lanes) {
      const IntBatch words =
          code_words(codes + (line * blocks + lane / block_lanes) * code_line_bytes, lane % block_lanes);
      float* to = out + line * line_steps(Width) * stride + lane;
      unroll<CodeFloats<Width>::steps>([&](auto step) __attribute__((always_inline)) {
        reader.template floats<decltype(step)::value>(words).store_unaligned(to + step * stride);
      });
    }
}

/// The same for any width.
inline void spread_codes(const std::uint8_t* codes, int bits, index lines, index blocks, float* out) noexcept {
  switch (kv_code_width(bits)) {
    case 2:
      return spread_codes<2>(codes, bits, lines, blocks, out);
    case 4:
      return spread_codes<4>(codes, bits, lines, blocks, out);
    default:
      return spread_codes<8>(codes, bits, lines, blocks, out);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
