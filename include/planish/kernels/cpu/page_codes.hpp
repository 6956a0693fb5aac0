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

/// Codes of up to four bits: the words of a line (one per lane) become the floats of steps 0 to 3, and shifted by a
/// code those of the next four steps. Where sixteen floats fill a register a look-up takes them from there, and ignores
/// the bits above the code.
template <int Width>
class NarrowCodes {
 public:
  static constexpr int fours = 8 / Width;  ///< groups of four steps in a line

  PLANISH_ALWAYS_INLINE explicit NarrowCodes(int bits) noexcept {
#if defined(__AVX512F__)
    constexpr int mask = (1 << Width) - 1;
    alignas(64) float values[16];
    for (int i = 0; i < 16; ++i) values[i] = static_cast<float>((i & mask) - code_centre(bits));
    table_ = FloatBatch::load_aligned(values);
#else
    base_ = FloatBatch(static_cast<float>(field_base(0) + code_centre(bits)));
#endif
  }

  [[nodiscard]] PLANISH_ALWAYS_INLINE static IntBatch next_four(IntBatch words) noexcept { return words >> Width; }

  template <int Step>
  [[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch floats(IntBatch words) const noexcept {
    if constexpr (Step > 0) words = words >> 8 * Step;
#if defined(__AVX512F__)
    return look_up(table_, words);
#else
    return float_of_field<0, Width>(words) - base_;
#endif
  }

 private:
#if defined(__AVX512F__)
  FloatBatch table_;
#else
  FloatBatch base_;
#endif
};

/// Codes of a byte each: they become floats in place, after one shift at most.
class WideCodes {
 public:
  static constexpr int fours = 1;

  PLANISH_ALWAYS_INLINE explicit WideCodes(int bits) noexcept
      : even_(static_cast<float>(field_base(0) + code_centre(bits))),
        odd_(static_cast<float>(field_base(8) + code_centre(bits))) {}

  [[nodiscard]] PLANISH_ALWAYS_INLINE static IntBatch next_four(IntBatch words) noexcept { return words; }

  template <int Step>
  [[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch floats(IntBatch words) const noexcept {
    if constexpr (Step >= 2) words = words >> 16;
    return float_of_field<Step % 2 * 8, 8>(words) - (Step % 2 == 0 ? even_ : odd_);
  }

 private:
  FloatBatch even_, odd_;
};

/// Calls `body` with the reader of codes of so many bits.
template <class Body>
PLANISH_ALWAYS_INLINE void with_codes(int bits, Body&& body) noexcept {
  switch (kv_code_width(bits)) {
    case 2:
      return body(NarrowCodes<2>(bits));
    case 4:
      return body(NarrowCodes<4>(bits));
    default:
      return body(WideCodes(bits));
  }
}

/// Words of neighbouring lanes.
[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch code_words(const std::uint8_t* codes) noexcept {
  return IntBatch::load_unaligned(reinterpret_cast<const std::int32_t*>(codes));
}

/// All codes of a page, [steps][stride] floats, stride = lanes rounded up to whole blocks, steps rounded up to lines.
PLANISH_LAZY void spread_codes(const std::uint8_t* codes, int bits, index lines, index blocks, float* out) noexcept {
  const index stride = blocks * block_lanes, lane_bytes = 4;
  with_codes(
      bits, [&](const auto& reader) __attribute__((always_inline)) {
        for (index line = 0; line < lines; ++line, codes += stride * lane_bytes)
          for (index lane = 0; lane < stride; lane += float_lanes) {
            IntBatch words = code_words(codes + lane * lane_bytes);
            float* to = out + line * 4 * reader.fours * stride + lane;
            for (int four = 0; four < reader.fours; ++four, to += 4 * stride) {
              unroll<4>([&](auto step) __attribute__((always_inline)) {
                reader.template floats<decltype(step)::value>(words).store_unaligned(to + step * stride);
              });
              words = reader.next_four(words);
            }
          }
      });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
