#pragma once
// From a warp's float sums to y: group scales, partial sums of split columns in one order, bias, residual, rounding.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/float_weights.cuh>
#include <planish/kernels/cuda/multiply_output.cuh>
#include <planish/kernels/cuda/warp.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// y = x · wᵀ + bias + residual; every pointer is of device memory.
struct WeightOnlyArguments {
  const void* x = nullptr;    // rows × columns of the planned type, from a multiple of 16 bytes on
  std::int64_t x_stride = 0;  // elements: a multiple of 8
  int rows = 0;
  FloatWeightsView w;
  const float* bias = nullptr;       // one per channel; null: none
  const void* residual = nullptr;    // type and shape of y; null: none. May be y itself.
  std::int64_t residual_stride = 0;  // elements
  void* y = nullptr;                 // rows × channels
  std::int64_t y_stride = 0;         // elements
  void* workspace = nullptr;         // plan.workspace_bytes, zeroed once; every launch leaves it zeroed
};

/// What a lane keeps of 64 channels × `Tiles`·8 tokens: as WarpSums, in float.
template <int Tiles>
using WarpFloats = float[unit_tiles][Tiles][4];

/// The bytes of workspace for `slots` warps whose `words` sums are split.
[[nodiscard]] constexpr std::int64_t float_split_bytes(std::int64_t slots, int words, int splits) noexcept {
  return slots * (std::int64_t{words} * splits + 1) * 4;
}

/// Scales and zero points of a lane's `Count` (8 or 2) neighbouring channels, of the group that its columns are in.
template <int Count>
struct GroupSide {
  float scales[Count];
  std::uint32_t zeros[Count];  // as pairs
  Vector8 next_zeros;          // bytes, of the group behind this one: they are wanted as soon as it begins
  int group, left;             // columns that are left of the group

  /// `unit` must exist; `first`: channel in it; `column`: the first that will be asked for.
  PLANISH_DEVICE void begin(const FloatWeightsView& w, int unit, int first, int column) noexcept {
    group = column / w.group_columns;
    left = (group + 1) * w.group_columns - column;
    const std::uint32_t middle = (1u << (w.stored_bits - 1)) * 0x10001u;
    PLANISH_UNROLL
    for (int i = 0; i < Count; ++i) zeros[i] = middle;
    ask_zeros(w, unit, first, group);
    load(w, unit, first);
  }
  /// True if these columns end the group.
  PLANISH_DEVICE bool ends_after(int columns) noexcept {
    left -= columns;
    return left == 0;
  }
  PLANISH_DEVICE void next(const FloatWeightsView& w, int unit, int first) noexcept {
    ++group;
    left = w.group_columns;
    load(w, unit, first);
  }

 private:
  /// Where nothing is behind the last group, its last stays: tokens are 0 there.
  PLANISH_DEVICE static std::int64_t place(const FloatWeightsView& w, int unit, int first, int of_group) noexcept {
    const int last = w.groups() - 1;
    return (std::int64_t{unit} * w.groups() + (of_group < last ? of_group : last)) * unit_channels + first;
  }
  PLANISH_DEVICE void ask_zeros(const FloatWeightsView& w, int unit, int first, int of_group) noexcept {
    if (w.zeros == nullptr) return;
    const std::uint8_t* from = w.zeros + place(w, unit, first, of_group);
    if constexpr (Count == 8)
      next_zeros = *reinterpret_cast<const Vector8*>(from);
    else
      next_zeros.words[0] = *reinterpret_cast<const std::uint16_t*>(from);
  }
  PLANISH_DEVICE void load(const FloatWeightsView& w, int unit, int first) noexcept {
    if (w.zeros != nullptr) {
      PLANISH_UNROLL
      for (int i = 0; i < Count; ++i) zeros[i] = (next_zeros.words[i / 4] >> (8 * (i % 4)) & 255u) * 0x10001u;
      ask_zeros(w, unit, first, group + 1);
    }
    const float* from = w.scales + place(w, unit, first, group);
    if constexpr (Count == 8) {
      PLANISH_UNROLL
      for (int i = 0; i < 8; i += 4) {
        const Vector16 four = *reinterpret_cast<const Vector16*>(from + i);
        PLANISH_UNROLL
        for (int j = 0; j < 4; ++j) scales[i + j] = __builtin_bit_cast(float, four.words[j]);
      }
    } else {
      const Vector8 two = *reinterpret_cast<const Vector8*>(from);
      PLANISH_UNROLL
      for (int j = 0; j < 2; ++j) scales[j] = __builtin_bit_cast(float, two.words[j]);
    }
  }
};

/// Where the sums of a split lie: [slot][split][register][lane] behind one counter for each slot.
PLANISH_DEVICE std::int32_t* split_words(void* workspace, std::int64_t slot, int slots, int split, int splits,
                                         int registers) noexcept {
  return static_cast<std::int32_t*>(workspace) + slots + (slot * splits + split) * registers * warp_size +
         thread_index() % warp_size;
}

template <int Count>
PLANISH_DEVICE void leave_sums(const float* sums, std::int32_t* words) noexcept {
  PLANISH_UNROLL
  for (int i = 0; i < Count; ++i) words[i * warp_size] = __builtin_bit_cast(std::int32_t, sums[i]);
}

/// The sums of all splits, added in their order; leaves the words zeroed.
template <int Count>
PLANISH_DEVICE void gather_sums(float* sums, std::int32_t* words, int splits) noexcept {
  PLANISH_UNROLL
  for (int i = 0; i < Count; ++i) sums[i] = 0.0f;
  PLANISH_NO_UNROLL
  for (int split = 0; split < splits; ++split) {
    PLANISH_UNROLL
    for (int i = 0; i < Count; ++i) {
      std::int32_t* const word = words + (std::int64_t{split} * Count + i) * warp_size;
      sums[i] += __builtin_bit_cast(float, load_shared_word(word));
      *word = 0;
    }
  }
}

/// Joins this warp's sums with those of the warps that have other columns of the same outputs, in the order of the
/// columns whoever comes last. True for that one, which then holds the whole sums.
template <int Count>
PLANISH_DEVICE bool join_float_splits(float* sums, void* workspace, int slot, int slots, int split,
                                      int splits) noexcept {
  if (splits == 1) return true;
  auto* const counter = static_cast<std::int32_t*>(workspace) + slot;
  leave_sums<Count>(sums, split_words(workspace, slot, slots, split, splits, Count));
  device_fence();
  warp_barrier();
  const int lane = thread_index() % warp_size;
  int ticket = lane == 0 ? atomic_add(counter, 1) : 0;
  ticket = broadcast(ticket, 0);
  if (ticket != splits - 1) return false;
  device_fence();
  gather_sums<Count>(sums, split_words(workspace, slot, slots, 0, splits, Count), splits);
  if (lane == 0) *counter = 0;
  return true;
}

/// Stores a warp's sums. `unit`: which 64 channels; `first`: token of column 0.
template <int Tiles>
PLANISH_DEVICE void store_floats(const WarpFloats<Tiles>& sums, const WeightOnlyArguments& a, ElementType type,
                                 int unit, int first) noexcept {
  const int lane = thread_index() % warp_size;
  const int channel = unit * unit_channels + 8 * (lane / 4);
  const int count = a.w.channels - channel;  // of eight
  if (count <= 0) return;
  float biases[8];
  PLANISH_UNROLL
  for (int i = 0; i < 8; ++i) biases[i] = a.bias == nullptr || i >= count ? 0.0f : a.bias[channel + i];
  PLANISH_UNROLL
  for (int n = 0; n < Tiles; ++n) PLANISH_UNROLL
  for (int b = 0; b < 2; ++b) {
    int token = first + 8 * n + 2 * (lane % 4) + b;
    settle(token);  // addresses of all tokens at once are more than the registers hold
    if (token >= a.rows) continue;
    float values[8];
    PLANISH_UNROLL
    for (int i = 0; i < 8; ++i) values[i] = sums[i / 2][n][2 * (i % 2) + b] + biases[i];
    if (a.residual != nullptr) {
      PLANISH_UNROLL
      for (int i = 0; i < 8; ++i)
        if (i < count) values[i] += load_element(a.residual, type, token * a.residual_stride + channel + i);
    }
    store_eight(a.y, type, token * a.y_stride + channel, values, count);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
