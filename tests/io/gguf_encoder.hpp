#pragma once
// Blocks of GGUF's types with more than one integer per value, made bit by bit in the order of the loops that write
// such files: the opposite of the readers' address arithmetic.
#include <cstdint>
#include <vector>

#include <planish/core/half.hpp>
#include <planish/core/random.hpp>
#include <planish/io/gguf_types.hpp>

#include "files.hpp"

namespace io_test {

using planish::Half;
using planish::Random;
using planish::io::gguf_layout;
using planish::io::GgufLayout;
using planish::io::GgufType;

inline const GgufLayout& layout_of(GgufType type) { return *gguf_layout(static_cast<std::uint32_t>(type)); }

/// What a block says, unpacked.
struct Fields {
  std::uint16_t d = 0, m = 0;                // halves
  std::vector<int> codes, scales, minima{};  // unsigned as stored, except the signed scales of Q6_K
};

inline int code_bits(GgufType type) {
  switch (type) {
    case GgufType::q2_k:
      return 2;
    case GgufType::q3_k:
      return 3;
    case GgufType::q4_k:
      return 4;
    case GgufType::q6_k:
      return 6;
    default:
      return 5;
  }
}

class BitWriter {
 public:
  explicit BitWriter(GgufType type) : bytes_(static_cast<std::size_t>(layout_of(type).bytes)) {}
  /// Bits [first, first + count) of `value`, to `byte` from bit `at` on.
  void put(int value, int first, int count, int byte, int at) {
    for (int b = 0; b < count; ++b)
      if (value >> (first + b) & 1) bytes_[static_cast<std::size_t>(byte)] |= static_cast<std::byte>(1 << (at + b));
  }
  void half(std::uint16_t bits, int byte) {
    put(bits, 0, 8, byte, 0);
    put(bits, 8, 8, byte + 1, 0);
  }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

inline Bytes encode(GgufType type, const Fields& f) {
  BitWriter to(type);
  const auto* code = f.codes.data();
  switch (type) {
    case GgufType::q5_0:
    case GgufType::q5_1: {
      const int after = type == GgufType::q5_0 ? 2 : 4;
      to.half(f.d, 0);
      if (type == GgufType::q5_1) to.half(f.m, 2);
      for (int i = 0; i < 32; ++i) to.put(code[i], 4, 1, after + i / 8, i % 8);
      for (int i = 0; i < 16; ++i) to.put(code[i], 0, 4, after + 4 + i, 0);
      for (int i = 16; i < 32; ++i) to.put(code[i], 0, 4, after + 4 + i - 16, 4);
      break;
    }
    case GgufType::q2_k:
    case GgufType::q3_k: {
      const bool three = type == GgufType::q3_k;
      for (int half = 0, bit = 0; half < 2; ++half)
        for (int shift = 0; shift < 8; shift += 2, ++bit)
          for (int lane = 0; lane < 32; ++lane, ++code) {
            to.put(*code, 0, 2, (three ? 32 : 16) + 32 * half + lane, shift);
            if (three) to.put(*code, 2, 1, lane, bit);
          }
      if (three) {
        for (int s = 0; s < 8; ++s) to.put(f.scales[static_cast<std::size_t>(s)], 0, 4, 96 + s, 0);
        for (int s = 0; s < 8; ++s) to.put(f.scales[static_cast<std::size_t>(8 + s)], 0, 4, 96 + s, 4);
        for (int quarter = 0, s = 0; quarter < 4; ++quarter)
          for (int byte = 104; byte < 108; ++byte, ++s)
            to.put(f.scales[static_cast<std::size_t>(s)], 4, 2, byte, 2 * quarter);
        to.half(f.d, 108);
      } else {
        for (int s = 0; s < 16; ++s) {
          to.put(f.scales[static_cast<std::size_t>(s)], 0, 4, s, 0);
          to.put(f.minima[static_cast<std::size_t>(s)], 0, 4, s, 4);
        }
        to.half(f.d, 80);
        to.half(f.m, 82);
      }
      break;
    }
    case GgufType::q4_k:
    case GgufType::q5_k: {
      const bool five = type == GgufType::q5_k;
      to.half(f.d, 0);
      to.half(f.m, 2);
      for (std::size_t s = 0; s < 4; ++s) {
        const int at = 4 + static_cast<int>(s);
        to.put(f.scales[s], 0, 6, at, 0);
        to.put(f.minima[s], 0, 6, at + 4, 0);
        to.put(f.scales[s + 4], 4, 2, at, 6);
        to.put(f.minima[s + 4], 4, 2, at + 4, 6);
        to.put(f.scales[s + 4], 0, 4, at + 8, 0);
        to.put(f.minima[s + 4], 0, 4, at + 8, 4);
      }
      int bit = 0;
      for (int chunk = 0; chunk < 4; ++chunk)
        for (int shift = 0; shift < 8; shift += 4, ++bit)
          for (int lane = 0; lane < 32; ++lane, ++code) {
            to.put(*code, 0, 4, (five ? 48 : 16) + 32 * chunk + lane, shift);
            if (five) to.put(*code, 4, 1, 16 + lane, bit);
          }
      break;
    }
    default: {  // Q6_K
      for (int half = 0; half < 2; ++half)
        for (int quarter = 0; quarter < 4; ++quarter)
          for (int lane = 0; lane < 32; ++lane, ++code) {
            to.put(*code, 0, 4, 64 * half + (quarter % 2 == 1 ? 32 : 0) + lane, quarter < 2 ? 0 : 4);
            to.put(*code, 4, 2, 128 + 32 * half + lane, 2 * quarter);
          }
      for (int s = 0; s < 16; ++s) to.put(f.scales[static_cast<std::size_t>(s)], 0, 8, 192 + s, 0);
      to.half(f.d, 208);
    }
  }
  return to.bytes();
}

inline double value_of(GgufType type, const Fields& f, std::size_t i) {
  const double d = static_cast<double>(Half{f.d}.to_float()), m = static_cast<double>(Half{f.m}.to_float());
  const double code = f.codes[i];
  switch (type) {
    case GgufType::q5_0:
      return (code - 16) * d;
    case GgufType::q5_1:
      return code * d + m;
    case GgufType::q2_k:
      return code * f.scales[i / 16] * d - f.minima[i / 16] * m;
    case GgufType::q3_k:
      return (code - 4) * (f.scales[i / 16] - 32) * d;
    case GgufType::q6_k:
      return (code - 32) * f.scales[i / 16] * d;
    default:
      return code * f.scales[i / 32] * d - f.minima[i / 32] * m;
  }
}

inline Fields random_fields(GgufType type, Random& random) {
  Fields f;
  f.d = Half::from_float(static_cast<float>(random.normal() * (random.below(7) == 0 ? 1e-6 : 0.1))).bits;
  f.m = Half::from_float(static_cast<float>(random.normal() * 0.1)).bits;
  const auto integers = [&](std::size_t count, int bits, int offset) {
    std::vector<int> made;
    const int most = (1 << bits) - 1;
    for (std::size_t i = 0; i < count; ++i) {
      const auto draw = static_cast<int>(random.below(static_cast<std::uint64_t>(most) + 1));
      made.push_back((random.below(8) == 0 ? most : random.below(8) == 0 ? 0 : draw) - offset);
    }
    return made;
  };
  f.codes = integers(static_cast<std::size_t>(layout_of(type).values), code_bits(type), 0);
  if (type == GgufType::q2_k) f.scales = integers(16, 4, 0), f.minima = integers(16, 4, 0);
  if (type == GgufType::q3_k) f.scales = integers(16, 6, 0);
  if (type == GgufType::q4_k || type == GgufType::q5_k) f.scales = integers(8, 6, 0), f.minima = integers(8, 6, 0);
  if (type == GgufType::q6_k) f.scales = integers(16, 8, 128);
  return f;
}

}  // namespace io_test
