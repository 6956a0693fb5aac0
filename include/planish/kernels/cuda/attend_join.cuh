#pragma once
// Partial results of attention to one: of the warps of a block in shared memory, then of the blocks that share a
// sequence in the workspace, by the last of them, in rising order; so that the same call gives the same bits.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/attend_arguments.cuh>
#include <planish/kernels/cuda/half_pairs.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// What a partial result counts beside one whose maximum is `highest`; the sums of nothing (−infinity) count 0.
PLANISH_DEVICE float partial_weight(float own_highest, float highest) noexcept {
  return quick_power_of_two(own_highest - (highest == -__builtin_inff() ? 0.0f : highest));
}

/// One line of results: Σ w v of the channels, then the maximum of the exponents and Σ p.
struct AttendLine {
  float* floats;
  int head_size;

  [[nodiscard]] PLANISH_DEVICE Vector16* ends() const noexcept {
    return reinterpret_cast<Vector16*>(floats + head_size);
  }
  PLANISH_DEVICE void set_ends(float highest, float total) const noexcept {
    *ends() = {{__builtin_bit_cast(std::uint32_t, highest), __builtin_bit_cast(std::uint32_t, total), 0, 0}};
  }
};

/// Where a block's results go, and how many have what it has.
struct AttendPlace {
  int slot, slots;                               // of the workspace: a sequence, a KV head, a tile of lines
  int split, splits;                             // those that have work
  int most_splits;                               // those that have memory
  int lines_of_slot;                             // that have memory
  int first_row, first_line, lines, first_head;  // of the output: line l is row first_row + l / group
};

[[nodiscard]] PLANISH_HOST_DEVICE constexpr std::int64_t attend_counter_bytes(std::int64_t slots) noexcept {
  return (slots * 4 + 15) / 16 * 16;
}

PLANISH_DEVICE AttendLine workspace_line(void* workspace, const AttendPlace& p, int head_size, int split,
                                         int line) noexcept {
  const std::int64_t at = (std::int64_t{p.slot} * p.most_splits + split) * p.lines_of_slot + line;
  auto* floats = reinterpret_cast<float*>(static_cast<unsigned char*>(workspace) + attend_counter_bytes(p.slots));
  return {floats + at * attend_line_floats(head_size), head_size};
}

/// Σ w v / Σ p of one line, rounded to the output; what has seen nothing is 0.
PLANISH_DEVICE void store_line(const AttendArguments& a, const AttendSharing& s, const AttendPlace& p, int line,
                               int channel, const float (&sums)[4], float total, bool& finite) noexcept {
  const int l = p.first_line + line, head_size = a.cache.layout.head_size;
  const std::int64_t at =
      (p.first_row + l / s.group) * a.y_stride + std::int64_t{p.first_head + l % s.group} * head_size + channel;
  PLANISH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const float value = total == 0.0f ? 0.0f : sums[i] / total;
    finite = finite && is_finite(value);
    store_element(a.y, s.output, at + i, value);
  }
}

PLANISH_DEVICE void count_bad_line(const AttendArguments& a, bool finite) noexcept {
  if (any_lane(!finite) && a.bad_lines != nullptr && thread_index() % warp_size == 0) (void)atomic_add(a.bad_lines, 1);
}

/// Joins the warps' results, [warp][lines_of_slot] lines at `meeting`, into the output or into the workspace.
PLANISH_DEVICE void join_warps(const AttendArguments& a, const AttendSharing& s, const AttendPlace& p,
                               float* meeting) noexcept {
  const int head_size = a.cache.layout.head_size, stride = attend_line_floats(head_size);
  const int lane = thread_index() % warp_size;
  for (int line = thread_index() / warp_size; line < p.lines; line += s.warps) {
    const float* first = meeting + line * stride;
    const int step = p.lines_of_slot * stride;  // between warps
    float highest = -__builtin_inff(), total = 0.0f;
    for (int w = 0; w < s.warps; ++w) highest = greatest(highest, first[w * step + head_size]);
    for (int w = 0; w < s.warps; ++w)
      total += partial_weight(first[w * step + head_size], highest) * first[w * step + head_size + 1];
    const AttendLine to = workspace_line(a.workspace, p, head_size, p.split, line);
    bool finite = true;
    for (int channel = lane * 4; channel < head_size; channel += warp_size * 4) {
      float sums[4] = {};
      for (int w = 0; w < s.warps; ++w) {
        const float weight = partial_weight(first[w * step + head_size], highest);
        PLANISH_UNROLL
        for (int i = 0; i < 4; ++i) sums[i] += weight * first[w * step + channel + i];
      }
      if (p.splits == 1) {
        store_line(a, s, p, line, channel, sums, total, finite);
      } else {
        Vector16 v;
        PLANISH_UNROLL
        for (int i = 0; i < 4; ++i) v.words[i] = __builtin_bit_cast(std::uint32_t, sums[i]);
        *reinterpret_cast<Vector16*>(to.floats + channel) = v;
      }
    }
    if (p.splits == 1)
      count_bad_line(a, finite);
    else if (lane == 0)
      to.set_ends(highest, total);
  }
}

/// Whether this block is the last of those that share its slot. `ticket`: a word of shared memory.
PLANISH_DEVICE bool is_last_split(const AttendArguments& a, const AttendPlace& p, std::int32_t* ticket) noexcept {
  device_fence();
  block_barrier();
  auto* counter = static_cast<std::int32_t*>(a.workspace) + p.slot;
  if (thread_index() == 0) {
    *ticket = atomic_add(counter, 1);
    if (*ticket == p.splits - 1) *counter = 0;
  }
  block_barrier();
  if (*ticket != p.splits - 1) return false;
  device_fence();
  return true;
}

/// The output from the splits' results, which are left zeroed. A lane has what ends the line of one split, of 32 at a
/// time, and four splits are read at once: the last block has nobody to hide its waiting behind.
PLANISH_DEVICE void join_attend_splits(const AttendArguments& a, const AttendSharing& s,
                                       const AttendPlace& p) noexcept {
  constexpr int parts = most_head_size / (4 * warp_size);
  const int head_size = a.cache.layout.head_size, lane = thread_index() % warp_size;
  const auto number = [](std::uint32_t bits) { return __builtin_bit_cast(float, bits); };
  const auto of_lane = [](float value, int from) {
    return __builtin_bit_cast(float, broadcast(__builtin_bit_cast(int, value), from));
  };
  for (int line = thread_index() / warp_size; line < p.lines; line += s.warps) {
    const auto of = [&](int split) { return workspace_line(a.workspace, p, head_size, split, line); };
    float highest = -__builtin_inff();
    for (int split = lane; split < p.splits; split += warp_size)
      highest = greatest(highest, number(load_shared_vector(of(split).ends()).words[0]));
    PLANISH_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) highest = greatest(highest, shuffle_xor(highest, mask));
    float total = 0.0f, sums[parts][4] = {};
    for (int first = 0; first < p.splits; first += warp_size) {
      float weight = 0.0f, own = 0.0f;
      if (first + lane < p.splits) {
        const Vector16 ends = load_shared_vector(of(first + lane).ends());
        weight = partial_weight(number(ends.words[0]), highest);
        own = number(ends.words[1]);
      }
      const int end = p.splits - first < warp_size ? p.splits : first + warp_size;
      PLANISH_NO_UNROLL
      for (int split = first; split < end; split += 4) {
        Vector16 v[4][parts];
        PLANISH_UNROLL
        for (int i = 0; i < 4; ++i) PLANISH_UNROLL
        for (int part = 0; part < parts; ++part)
          if (const int channel = (part * warp_size + lane) * 4; split + i < end && channel < head_size)
            v[i][part] = load_shared_vector(of(split + i).floats + channel);
        PLANISH_UNROLL
        for (int i = 0; i < 4; ++i) {
          if (split + i >= end) break;
          const float by = of_lane(weight, split + i - first);
          total += by * of_lane(own, split + i - first);
          PLANISH_UNROLL
          for (int part = 0; part < parts; ++part) {
            const int channel = (part * warp_size + lane) * 4;
            if (channel >= head_size) break;
            PLANISH_UNROLL
            for (int e = 0; e < 4; ++e) sums[part][e] += by * number(v[i][part].words[e]);
            *reinterpret_cast<Vector16*>(of(split + i).floats + channel) = {};
          }
        }
      }
    }
    bool finite = true;
    PLANISH_UNROLL
    for (int part = 0; part < parts; ++part)
      if (const int channel = (part * warp_size + lane) * 4; channel < head_size)
        store_line(a, s, p, line, channel, sums[part], total, finite);
    count_bad_line(a, finite);
    warp_barrier();  // everyone has read the ends
    for (int split = lane; split < p.splits; split += warp_size) *of(split).ends() = {};
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
