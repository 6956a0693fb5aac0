#pragma once
// The kernel of kronecker.cuh: tokens through a ring of shared memory, and what becomes of V.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/kronecker.cuh>
#include <planish/kernels/cuda/kronecker_prologue.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Four codes of one row of V in a word, `Bits` each: products `tile` and `tile` + 1, registers of row half `h`.
template <class Size, bool Cut, int Bits>
PLANISH_DEVICE std::uint32_t four_codes(const RowCoder& coder, const KroneckerSums<Size>& sums, int m, int tile,
                                        int h) noexcept {
  std::uint32_t steps[4];
  PLANISH_UNROLL
  for (int i = 0; i < 4; ++i) steps[i] = coder.template quick_steps<Cut>(sums[m][tile + i / 2][2 * h + i % 2]);
  return pack_steps<Bits, 4>(steps, coder.affine.zero_point);
}

/// Stores the codes of a warp's rows of V, which lie `pitch` codes apart, both a multiple of 16, and returns this
/// lane's sum of them.
template <class Size, bool Cut>
PLANISH_DEVICE int store_codes(const RowCoder& coder, const KroneckerSums<Size>& sums, int first_row, int n1, int n2,
                               int pitch, CodeForm form, void* to) noexcept {
  const int lane = thread_index() % warp_size, tiles = Size::whole ? Size::tiles : 2 * sixteens(n2);
  auto* const out = static_cast<unsigned char*>(to);
  int sum = 0;
  PLANISH_UNROLL
  for (int m = 0; m < Size::row_tiles; ++m) PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = first_row + 16 * m + 8 * h + lane / 4;
    if (row >= n1) continue;
    PLANISH_UNROLL
    for (int tile = 0; tile < Size::tiles; tile += 8) {
      if (tile >= tiles) break;
      const int together = tiles - tile < 8 ? tiles - tile : 8;
      const int at = row * pitch + 8 * tile + 2 * together * (lane % 4);
      std::uint32_t words[4] = {}, nibbles[2] = {};
      PLANISH_UNROLL
      for (int word = 0; word < 4; ++word) {
        if (tile + 2 * word >= Size::tiles || 2 * word >= together) break;
        if (form == CodeForm::bytes) {
          words[word] = four_codes<Size, Cut, 8>(coder, sums, m, tile + 2 * word, h);
          sum = add_bytes(words[word], sum);
        } else {
          const std::uint32_t four = four_codes<Size, Cut, 4>(coder, sums, m, tile + 2 * word, h);
          sum = add_nibbles(four, sum) - 32;
          nibbles[word / 2] |= four << (word % 2 * 16);
        }
      }
      if (form == CodeForm::bytes) {
        if (together == 8) {
          *reinterpret_cast<Vector16*>(out + at) = Vector16{{words[0], words[1], words[2], words[3]}};
        } else {
          PLANISH_UNROLL
          for (int word = 0; word < 4; ++word)
            if (2 * word < together) *reinterpret_cast<std::uint32_t*>(out + at + 4 * word) = words[word];
        }
      } else if (together == 8) {
        *reinterpret_cast<Vector8*>(out + at / 2) = Vector8{{nibbles[0], nibbles[1]}};
      } else {
        PLANISH_UNROLL
        for (int word = 0; word < 4; ++word)
          if (2 * word < together)
            *reinterpret_cast<std::uint16_t*>(out + at / 2 + 2 * word) =
                static_cast<std::uint16_t>(nibbles[word / 2] >> (word % 2 * 16));
      }
    }
  }
  return sum;
}

/// A warp's rows of V, rounded, into a stage whose token is no longer needed.
template <class Size>
PLANISH_DEVICE void stage_values(const KroneckerSums<Size>& sums, int first_row, int n1, int n2,
                                 unsigned char* stage) noexcept {
  const int lane = thread_index() % warp_size, tiles = Size::whole ? Size::tiles : 2 * sixteens(n2);
  const int pitch = kronecker_pitch(n2);
  PLANISH_UNROLL
  for (int m = 0; m < Size::row_tiles; ++m) PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = first_row + 16 * m + 8 * h + lane / 4;
    if (row >= n1) continue;
    PLANISH_UNROLL
    for (int tile = 0; tile < Size::tiles; ++tile) {
      if (tile >= tiles) break;
      const int column = kronecker_column(tiles, tile, 2 * (lane % 4));
      *reinterpret_cast<std::uint32_t*>(stage + row * pitch + column * 2) =
          round_pair(typename Size::Type{}, sums[m][tile][2 * h], sums[m][tile][2 * h + 1]);
    }
  }
}

/// From a stage, as `stage_values` or `store_codes` left it, to the caller's row, element by element; then the stage is
/// zero again. Returns this thread's sum of codes.
PLANISH_DEVICE int unload_codes(const KroneckerArguments& a, const KroneckerSharing& s, int barrier, int thread,
                                unsigned char* stage, std::int8_t* out) noexcept {
  const int n2 = a.factors.n2, n = a.factors.n1 * n2, pitch = kronecker_pitch(n2);
  const auto code = [=](int i) { return i < n ? static_cast<std::int8_t>(stage[i / n2 * pitch + i % n2]) : 0; };
  group_barrier(barrier, s.group_threads);
  int sum = 0;
  for (int i = 2 * thread; i < n; i += 2 * s.group_threads) {
    const int first = code(i), second = code(i + 1);
    sum += first + second;
    if (s.form == CodeForm::nibbles) {
      const int high = i + 1 < n ? (second + 8) << 4 : 0;
      out[i / 2] = static_cast<std::int8_t>((first + 8) | high);
      continue;
    }
    out[i] = static_cast<std::int8_t>(first);
    if (i + 1 < n) out[i + 1] = static_cast<std::int8_t>(second);
  }
  return sum;
}
PLANISH_DEVICE void unload_values(const KroneckerArguments& a, const KroneckerSharing& s, int barrier, int thread,
                                  const unsigned char* stage, std::uint16_t* y) noexcept {
  const int n2 = a.factors.n2, pitch = kronecker_pitch(n2);
  group_barrier(barrier, s.group_threads);
  for (int i = thread; i < a.factors.n1 * n2; i += s.group_threads)
    y[i] = *reinterpret_cast<const std::uint16_t*>(stage + i / n2 * pitch + i % n2 * 2);
}
PLANISH_DEVICE void clear_stage(const KroneckerArguments& a, const KroneckerSharing& s, int barrier, int thread,
                                unsigned char* stage) noexcept {
  group_barrier(barrier, s.group_threads);
  for (int i = thread; i < kronecker_stage_bytes(a.factors.n1, a.factors.n2) / 16; i += s.group_threads)
    reinterpret_cast<Vector16*>(stage)[i] = Vector16{{0, 0, 0, 0}};
}

/// Persistent blocks; group g of block b takes tokens b · groups + g, and so on by the number of all groups. `Before`:
/// there is a prologue.
template <class Size, bool Before>
PLANISH_KERNEL(Size::most_threads, 1)
kronecker_rows(KroneckerArguments a, KroneckerSharing s, int rows) {
  using E = typename Size::Type;
  const int n1 = a.factors.n1, n2 = a.factors.n2, stage_bytes = kronecker_stage_bytes(n1, n2);
  const int workers = Before ? s.workers : s.group_threads;
  const int group = thread_index() / workers, thread = thread_index() % workers;
  const int warp = thread / warp_size, warps = s.group_threads / warp_size;
  KroneckerSharing crew = s;  // that brings a token
  if constexpr (Before)
    crew.group_threads = s.workers;
  else
    crew.prologue = Prologue::none;
  unsigned char* const right = shared_memory();
  const int beside_bytes = kronecker_beside_bytes(n1, n2, crew.prologue, s.background ? s.stages - 1 : 0);
  unsigned char* const mine =
      right + kronecker_right_bytes(n2) + group * (kronecker_meeting_bytes + s.stages * stage_bytes + beside_bytes);
  auto* const meeting = reinterpret_cast<RangeSoFar*>(mine);
  unsigned char* const ring = mine + kronecker_meeting_bytes;
  unsigned char* const beside = ring + s.stages * stage_bytes;  // as many rows of up as are on their way
  auto* const norms = reinterpret_cast<double*>(beside);
  const int up_bytes = n1 * n2 * 2;

  // What lies beside the n1 × n2 elements of a stage is zero from here on.
  for (int i = thread; i < s.stages * stage_bytes / 16; i += workers)
    reinterpret_cast<Vector16*>(ring)[i] = Vector16{{0, 0, 0, 0}};
  for (int i = thread_index(); i < kronecker_right_bytes(n2) / 16; i += s.groups * workers)
    copy_async_16(right + i * 16, reinterpret_cast<const unsigned char*>(a.factors.right) + i * 16, 16);
  commit_copies();
  const LeftFragments<Size> left(a.factors, warp * Size::row_tiles);
  group_barrier(1 + group, workers);
  const std::int64_t tokens_on = std::int64_t{block_count()} * s.groups;
  const std::int64_t first = std::int64_t{block_index()} * s.groups + group;
  wait_for_kernel_before();  // factors are older
  let_next_kernel_start();
  for (int i = 0; i < s.stages - 1; ++i) {
    if (first + i * tokens_on < rows)
      bring_token<E>(a, crew, first + i * tokens_on, thread, 1 + group, norms, ring + i * stage_bytes,
                     beside + i * up_bytes);
    commit_copies();
  }
  if (s.stages == 2)
    wait_copies<1>();
  else
    wait_copies<2>();
  block_barrier();  // the right factor has come

  int stage = 0, row_beside = 0;
  PLANISH_NO_UNROLL
  for (std::int64_t token = first; token < rows; token += tokens_on) {
    if (s.stages == 2)
      wait_copies<0>();
    else
      wait_copies<1>();
    unsigned char* const current = ring + stage * stage_bytes;
    unsigned char* const current_beside = beside + row_beside * up_bytes;
    apply_prologue<E>(a, crew, thread, 1 + group, norms, current, current_beside);
    group_barrier(1 + group, workers);                // this token has come, and nobody still reads the one before
    if (Before && thread >= s.group_threads) return;  // there is no other token
    const std::int64_t ahead = token + (s.stages - 1) * tokens_on;
    const int free_stage = stage == 0 ? s.stages - 1 : stage - 1;
    if (ahead < rows)
      bring_token<E>(a, crew, ahead, thread, 1 + group, norms, ring + free_stage * stage_bytes, current_beside);
    commit_copies();
    row_beside = row_beside + 2 >= s.stages ? 0 : row_beside + 1;

    KroneckerSums<Size> sums = {};
    const int first_row = warp * Size::row_tiles * 16;
    transform_token<Size>(left, current, right, n2, sums);
    stage = stage + 1 == s.stages ? 0 : stage + 1;

    RangeSoFar range;
    PLANISH_UNROLL
    for (int m = 0; m < Size::row_tiles; ++m) PLANISH_UNROLL
    for (int tile = 0; tile < Size::tiles; ++tile) PLANISH_UNROLL
    for (int r = 0; r < 4; ++r) range.add(sums[m][tile][r]);
    range = join_warp(range);
    if (thread % warp_size == 0) meeting[warp] = range;
    group_barrier(1 + group, s.group_threads);  // and nobody still reads this token
    if (a.y != nullptr) {
      PLANISH_UNROLL
      for (int m = 0; m < Size::row_tiles; ++m) PLANISH_UNROLL
      for (int tile = 0; tile < Size::tiles; ++tile) PLANISH_UNROLL
      for (int r = 0; r < 4; ++r) sums[m][tile][r] *= a.factor;
      stage_values<Size>(sums, first_row, n1, n2, current);
      unload_values(a, s, 1 + group, thread, current, static_cast<std::uint16_t*>(a.y) + token * a.y_stride);
      clear_stage(a, s, 1 + group, thread, current);
      continue;
    }
    range = meeting[0];
    for (int i = 1; i < warps; ++i) range.join(meeting[i]);
    const ValueRange values{range.lowest * a.factor, range.highest * a.factor};
    RowCoder coder = RowCoder::make(values, range.finite(), a.quantizer);
    const bool cut = coder.shifted || !coder.usable || !coder.covers(values);
    if (coder.shifted) {
      PLANISH_UNROLL
      for (int m = 0; m < Size::row_tiles; ++m) PLANISH_UNROLL
      for (int tile = 0; tile < Size::tiles; ++tile) PLANISH_UNROLL
      for (int r = 0; r < 4; ++r) sums[m][tile][r] = coder.shifted_value(sums[m][tile][r] * a.factor);
    } else {
      coder.reciprocal *= a.factor;
    }
    std::int8_t* const out = a.out.codes + token * a.out.stride;
    const bool direct = Size::whole || n2 % 16 == 0;
    const int pitch = direct ? n2 : kronecker_pitch(n2);
    const CodeForm form = direct ? s.form : CodeForm::bytes;
    void* const to = direct ? static_cast<void*>(out) : current;
    int sum = cut ? store_codes<Size, true>(coder, sums, first_row, n1, n2, pitch, form, to)
                  : store_codes<Size, false>(coder, sums, first_row, n1, n2, pitch, form, to);
    if (!direct) {
      sum = unload_codes(a, s, 1 + group, thread, current, out);
      clear_stage(a, s, 1 + group, thread, current);
    }
    if (s.form == CodeForm::bytes)
      for (int i = n1 * n2 + thread; i < static_cast<int>(a.out.stride); i += s.group_threads) out[i] = 0;
    if (a.out.sums != nullptr) {
      group_barrier(1 + group, s.group_threads);
      sum = sum_warp(sum);
      auto* const parts = reinterpret_cast<int*>(meeting);
      if (thread % warp_size == 0) parts[warp] = sum;
      group_barrier(1 + group, s.group_threads);
      sum = 0;
      for (int i = 0; i < warps; ++i) sum += parts[i];
    }
    if (thread != 0) continue;
    a.out.scales[token] = coder.affine.scale;
    if (a.out.sums != nullptr) a.out.sums[token] = sum;
    if (a.out.zero_points != nullptr) a.out.zero_points[token] = coder.affine.zero_point;
    if (!coder.usable && a.bad_rows != nullptr) (void)atomic_add(a.bad_rows, 1);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
