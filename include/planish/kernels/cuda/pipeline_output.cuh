#pragma once
// The outputs of one warpgroup of a pipelined product, 64 channels × many tokens, from registers to memory: through
// shared memory, so that whole lines are written.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/multiply_output.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

// A warpgroup's sums have the fragments of multiply_group, its channels the deal of matrix_fragments.cuh: a thread has
// two neighbouring channels of two neighbouring tokens of every eight. Shared memory takes the tokens one behind the
// other, a pair of channels at a time; pairs of eight channels are exchanged by the token, so that banks do not
// collide.

inline constexpr int line_bytes = 64 * unit_channels * 2;  // of 64 tokens in 16 bits, or of 32 as they are

/// How many tokens with elements of `bytes` go through shared memory at a time.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int pass_tokens(int tokens, int bytes) noexcept {
  return tokens < line_bytes / bytes / unit_channels ? tokens : line_bytes / bytes / unit_channels;
}

/// The shared memory of one warpgroup's outputs.
template <int Tokens>
struct alignas(16) OutputRoom {
  unsigned char lines[line_bytes];
  float scales[Tokens];
};

/// The token (of the warpgroup's) that sums register `r` belongs to.
[[nodiscard]] PLANISH_DEVICE int sum_token(int r) noexcept { return r / 4 * 8 + 2 * (thread_index() % 4) + r % 2; }
/// The register of pair i of a thread, and that of its second channel behind it.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int pair_register(int i) noexcept { return i / 2 * 4 + i % 2; }
inline constexpr int next_channel = 2;
/// Where a thread's pair of channels lies among the 32 of a token, and where pair `i` of eight channels does.
[[nodiscard]] PLANISH_DEVICE int own_pair_place() noexcept {
  const int lane = thread_index() % warp_size;
  return 4 * (lane / 4) + (thread_index() / warp_size % 4 ^ lane % 4);
}
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int pair_exchange(int token) noexcept { return token / 2 % 4; }

/// The scales of a block's tokens, asked for before the products and kept in registers meanwhile.
template <int Tokens>
struct TokenScales {
  static constexpr int each = (Tokens + group_size - 1) / group_size;  // per thread
  float scales[each];

  PLANISH_DEVICE TokenScales(const MultiplyArguments& a, int first_token) noexcept {
    PLANISH_UNROLL
    for (int i = 0; i < each; ++i) {
      const int token = first_token + thread_index() % group_size + i * group_size;
      scales[i] = token < static_cast<int>(a.x.rows) ? a.x.scales[token] : 0.0f;
    }
  }
  PLANISH_DEVICE void keep(OutputRoom<Tokens>& room) const noexcept {
    PLANISH_UNROLL
    for (int i = 0; i < each; ++i) {
      const int at = thread_index() % group_size + i * group_size;
      if (Tokens % group_size == 0 || at < Tokens) room.scales[at] = scales[i];
    }
  }
};

/// A pass of 16-bit outputs from shared memory to y, 16 bytes at a time.
template <int Tokens>
PLANISH_DEVICE void store_lines(const unsigned char* lines, const MultiplyArguments& a, int first_channel,
                                int first_token) noexcept {
  constexpr int vectors = unit_channels * 2 / 16;
  const int begin = first_channel + thread_index() % vectors * 8, left = a.w.channels - begin;
  PLANISH_UNROLL
  for (int n = 0; n < Tokens * vectors / group_size; ++n) {
    const int i = thread_index() % group_size + n * group_size, token = first_token + i / vectors;
    if (token >= static_cast<int>(a.x.rows) || left <= 0) continue;
    const Vector16 raw = reinterpret_cast<const Vector16*>(lines)[i];
    const int exchange = pair_exchange(i / vectors);
    Vector16 v;
    PLANISH_UNROLL
    for (int w = 0; w < 4; ++w) {
      const std::uint32_t near = (exchange & 1) != 0 ? raw.words[w ^ 1] : raw.words[w];
      const std::uint32_t far = (exchange & 1) != 0 ? raw.words[w ^ 3] : raw.words[w ^ 2];
      v.words[w] = (exchange & 2) != 0 ? far : near;
    }
    std::uint16_t* const to = static_cast<std::uint16_t*>(a.y) + token * a.y_stride + begin;
    if (left >= 8 && reinterpret_cast<std::uintptr_t>(to) % 16 == 0) {
      *reinterpret_cast<Vector16*>(to) = v;
      continue;
    }
    PLANISH_UNROLL
    for (int c = 0; c < 8; ++c)
      if (c < left) to[c] = static_cast<std::uint16_t>(v.words[c / 2] >> (c % 2 * 16));
  }
}

/// Outputs of 16 bits without zero points and residual.
template <class Element, int FactorBits, int Tokens>
PLANISH_DEVICE void store_rounded(const int (&sums)[Tokens / 2], OutputRoom<Tokens>& room, const MultiplyArguments& a,
                                  int unit, int first_token, int barrier) noexcept {
  const int lane = thread_index() % warp_size, warp = thread_index() / warp_size;
  const int first_channel = unit * unit_channels, channel = first_channel + 8 * (lane / 4) + 2 * (warp % 4);
  float scales[2], biases[2];
  PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    const bool exists = channel + h < a.w.channels;
    scales[h] = exists ? a.w.scales[channel + h] : 0.0f;
    biases[h] = exists && a.bias != nullptr ? a.bias[channel + h] : 0.0f;
  }
  std::uint32_t* const own = reinterpret_cast<std::uint32_t*>(room.lines) + own_pair_place();
  constexpr int together = pass_tokens(Tokens, 2);
  PLANISH_UNROLL
  for (int pass = 0; pass < Tokens / together; ++pass) {
    group_barrier(barrier, group_size);  // the lines of the pass before are read
    PLANISH_UNROLL
    for (int i = 0; i < together / 4; ++i) {
      const int r = together / 2 * pass + pair_register(i);
      const float scale = room.scales[sum_token(r)];
      float values[2];
      PLANISH_UNROLL
      for (int h = 0; h < 2; ++h)
        values[h] = rescale(sums[r + next_channel * h] >> FactorBits, scale, scales[h], biases[h]);
      own[sum_token(pair_register(i)) * (unit_channels / 2)] = round_pair(Element{}, values[0], values[1]);
    }
    group_barrier(barrier, group_size);
    store_lines<together>(room.lines, a, first_channel, first_token + pass * together);
  }
}

/// A pass of sums into shared memory.
template <int Tokens, int Registers>
PLANISH_DEVICE void keep_sums(const int (&sums)[Registers], unsigned char* lines, int pass) noexcept {
  Vector8* const own = reinterpret_cast<Vector8*>(lines) + own_pair_place();
  PLANISH_UNROLL
  for (int i = 0; i < Tokens / 4; ++i) {
    const int r = Tokens / 2 * pass + pair_register(i);
    own[sum_token(pair_register(i)) * (unit_channels / 2)] = {
        {static_cast<std::uint32_t>(sums[r]), static_cast<std::uint32_t>(sums[r + next_channel])}};
  }
}

/// Rescales and stores eight channels of a token. `read(v)`: vector v of 16 bytes of what keep_sums kept of them.
template <int FactorBits, class Read>
PLANISH_DEVICE void store_kept(const EightChannels& channels, const MultiplyArguments& a, ElementType type, int token,
                               int column, const Read& read) noexcept {
  if (token >= static_cast<int>(a.x.rows) || channels.count <= 0) return;
  const int exchange = pair_exchange(column);
  std::int32_t products[8];
  PLANISH_UNROLL
  for (int v = 0; v < 2; ++v) {  // vector v has pairs 2 v and 2 v + 1, exchanged
    const Vector16 four = read((exchange & 2) != 0 ? 1 - v : v);
    PLANISH_UNROLL
    for (int w = 0; w < 4; ++w)
      products[4 * v + w] =
          static_cast<std::int32_t>((exchange & 1) != 0 ? four.words[w ^ 2] : four.words[w]) >> FactorBits;
  }
  channels.store(products, a, type, token);
}

/// Any outputs: the sums themselves go through shared memory.
template <int FactorBits, int Tokens>
PLANISH_DEVICE void store_any(const int (&sums)[Tokens / 2], OutputRoom<Tokens>& room, const MultiplyArguments& a,
                              ElementType type, int unit, int first_token, int barrier) noexcept {
  constexpr int together = pass_tokens(Tokens, 4), eights = unit_channels / 8;
  const EightChannels channels(a, unit * unit_channels + thread_index() % eights * 8);
  PLANISH_UNROLL
  for (int pass = 0; pass < Tokens / together; ++pass) {
    group_barrier(barrier, group_size);
    keep_sums<together>(sums, room.lines, pass);
    group_barrier(barrier, group_size);
    int item = thread_index() % group_size;
    settle(item);  // addresses of all passes at once are more than the registers hold
    PLANISH_NO_UNROLL
    for (int i = item; i < together * eights; i += group_size)
      store_kept<FactorBits>(channels, a, type, first_token + pass * together + i / eights, i / eights,
                             [&](int v) { return reinterpret_cast<const Vector16*>(room.lines)[2 * i + v]; });
  }
}

/// Adds a warpgroup's sums to those of the warpgroups that have other columns of the same outputs; the last of them
/// stores the outputs and leaves its part of the workspace zeroed. `slot`: of the outputs, of `slots`.
template <int FactorBits, int Tokens>
PLANISH_DEVICE void store_split(const int (&sums)[Tokens / 2], OutputRoom<Tokens>& room, const MultiplyArguments& a,
                                ElementType type, int unit, int first_token, int barrier, int slot, int slots,
                                int splits) noexcept {
  constexpr int together = pass_tokens(Tokens, 4), eights = unit_channels / 8, words = Tokens * unit_channels;
  const int thread = thread_index() % group_size;
  auto* const whole = static_cast<std::int32_t*>(a.workspace) + std::int64_t{slot} * words;
  auto* const counter = static_cast<std::int32_t*>(a.workspace) + std::int64_t{slots} * words + slot;
  PLANISH_UNROLL
  for (int pass = 0; pass < Tokens / together; ++pass) {
    group_barrier(barrier, group_size);
    keep_sums<together>(sums, room.lines, pass);
    publish_to_products();  // and to the copy engine
    group_barrier(barrier, group_size);
    if (thread != 0) continue;
    add_bulk(whole + pass * together * unit_channels, room.lines, together * unit_channels * 4);
    commit_bulk();
    wait_bulk_read();
  }
  auto* const ticket = reinterpret_cast<std::int32_t*>(room.scales);
  if (thread == 0) {
    wait_bulk();
    device_fence();
    *ticket = atomic_add(counter, 1);
    device_fence();
  }
  group_barrier(barrier, group_size);
  const bool last = *ticket == splits - 1;
  group_barrier(barrier, group_size);
  if (!last) return;
  if (thread == 0) *counter = 0;
  const EightChannels channels(a, unit * unit_channels + thread % eights * 8);
  PLANISH_NO_UNROLL
  for (int i = thread; i < Tokens * eights; i += group_size) {
    Vector16* const own = reinterpret_cast<Vector16*>(whole) + 2 * i;
    const Vector16 kept[2] = {load_shared_vector(own), load_shared_vector(own + 1)};
    own[0] = own[1] = {};
    store_kept<FactorBits>(channels, a, type, first_token + i / eights, i / eights,
                           [&](int v) { return v == 0 ? kept[0] : kept[1]; });
  }
}

/// Rescales and stores a warpgroup's sums, which are 2^FactorBits too large. `barrier`: its own.
template <int FactorBits, int Tokens>
PLANISH_DEVICE void store_unit(const int (&sums)[Tokens / 2], OutputRoom<Tokens>& room,
                               const TokenScales<Tokens>& scales, const MultiplyArguments& a, ElementType type,
                               int unit, int first_token, int barrier) noexcept {
  const bool plain = a.w.zeros == nullptr && a.x.zero_points == nullptr && a.residual == nullptr;
  if (!plain || element_bytes(type) == 4) {
    store_any<FactorBits>(sums, room, a, type, unit, first_token, barrier);
    return;
  }
  scales.keep(room);
  if (type == ElementType::bfloat16)
    store_rounded<BFloat16, FactorBits>(sums, room, a, unit, first_token, barrier);
  else
    store_rounded<Half, FactorBits>(sums, room, a, unit, first_token, barrier);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
