#pragma once
// Stored weights to floats, a vector of channels at a time. Both decoders give exactly float(stored − zero) · scale
// with one rounding, so it does not show which one ran.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/field_floats.hpp>
#include <planish/kernels/cpu/panel_output.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/packed_weights.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// Lanes of vector `Vector` of a panel: each holds 4 columns of a channel, and of the channel 16 further for nibbles.
template <CodeStorage Storage, int Vector>
[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch stored_lanes(const std::uint8_t* line) noexcept {
  constexpr index channels = Storage == CodeStorage::nibble ? panel_width / 2 : panel_width;
  constexpr index first = Vector * float_lanes % channels;
  return IntBatch::load_unaligned(reinterpret_cast<const std::int32_t*>(line + first * line_depth));
}

/// Bit of such a lane at which column `Depth` of the line starts.
template <CodeStorage Storage, int Vector, int Depth>
inline constexpr int stored_bit = 8 * Depth +
                                  (Storage == CodeStorage::nibble && Vector * float_lanes >= panel_width / 2 ? 4 : 0);

}  // namespace detail

/// Weights of one panel under one group, for any zero points: the stored field becomes a float in place, one shift
/// brings both upper columns of a line to where the lower ones lie, and the zero is subtracted together with the base
/// of the field.
template <CodeStorage Storage>
class FieldDecoder {
 public:
  static constexpr CodeStorage storage = Storage;

  /// `side`: where the 32 scales and zeros of the panel and group lie.
  PLANISH_ALWAYS_INLINE FieldDecoder(const PackedWeightsView& w, index side) noexcept {
    const bool centred = w.symmetry == Symmetry::symmetric;  // then all zeros are the offset: no need to read them
    unroll<panel_vectors>([&](auto v) __attribute__((always_inline)) {
      scales_[v] = FloatBatch::load_unaligned(w.scales + side + v * float_lanes);
      const FloatBatch zeros = centred ? FloatBatch(static_cast<float>(storage_offset(Storage)))
                                       : xsimd::to_float(IntBatch::load_unaligned(w.zeros + side + v * float_lanes));
      unroll<2>([&](auto odd) __attribute__((always_inline)) {
        zeros_[v][odd] =
            zeros + FloatBatch(static_cast<float>(field_base(bit<decltype(v)::value, decltype(odd)::value>)));
      });
    });
  }

  /// Channels Vector · lanes and on of column `Depth` of the line.
  template <int Vector, int Depth>
  [[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch weights(const std::uint8_t* line) const noexcept {
    constexpr int width = Storage == CodeStorage::nibble ? 4 : 8;
    IntBatch lanes = detail::stored_lanes<Storage, Vector>(line);
    if constexpr (Depth >= 2) lanes = lanes >> 16;
    return (float_of_field<bit<Vector, Depth>, width>(lanes) - zeros_[Vector][Depth % 2]) * scales_[Vector];
  }

 private:
  template <int Vector, int Depth>
  static constexpr int bit = detail::stored_bit<Storage, Vector, Depth> % 16;

  FloatBatch scales_[panel_vectors];
  FloatBatch zeros_[panel_vectors][2];  // for even and odd columns
};

#if defined(__AVX512F__)
/// Symmetric nibbles: their sixteen floats fill one register, and one instruction looks them up.
class NibbleLookup {
 public:
  static constexpr CodeStorage storage = CodeStorage::nibble;

  PLANISH_ALWAYS_INLINE NibbleLookup(const PackedWeightsView& w, index side) noexcept {
    unroll<panel_vectors>([&](auto v) __attribute__((always_inline)) {
      scales_[v] = FloatBatch::load_unaligned(w.scales + side + v * float_lanes);
    });
  }

  template <int Vector, int Depth>
  [[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch weights(const std::uint8_t* line) const noexcept {
    alignas(64) static constexpr float values[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
    const IntBatch lanes = detail::stored_lanes<storage, Vector>(line) >> detail::stored_bit<storage, Vector, Depth>;
    return look_up(FloatBatch::load_aligned(values), lanes) * scales_[Vector];
  }

 private:
  FloatBatch scales_[panel_vectors];
};
#endif

/// Calls `body` with a std::type_identity of the fastest decoder of such weights.
template <class Body>
void with_decoder(const PackedWeightsView& w, Body&& body) noexcept {
  if (w.storage == CodeStorage::byte) return body(std::type_identity<FieldDecoder<CodeStorage::byte>>{});
#if defined(__AVX512F__)
  if (w.symmetry == Symmetry::symmetric) return body(std::type_identity<NibbleLookup>{});
#endif
  body(std::type_identity<FieldDecoder<CodeStorage::nibble>>{});
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
