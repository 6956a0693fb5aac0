#pragma once
// The kernel of kronecker.cuh on the products of warpgroups (sm_90a): a warpgroup owns 64 rows of U and of V. Both
// factors stay where they are for the life of a block, Lᵀ as fragments, R in shared memory; M is read as it lies.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/group_columns.cuh>
#include <planish/kernels/cuda/kronecker.cuh>
#include <planish/kernels/cuda/kronecker_group_size.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Brings a token's row into a stage in the background.
template <class Size>
PLANISH_DEVICE void fetch_columns(const void* row, int n1, int thread, unsigned char* ring, int stage) noexcept {
  constexpr int across = Size::columns / 8;  // pieces of 16 bytes
  for (int i = thread; i < n1 * across; i += Size::token_threads) {
    const int r = i / across, c = i % across;
    copy_async_16(ring + Size::chunk_at(stage, c / 8) + exchanged_offset(r, c % 8 * 16 + Size::byte_at(stage, c / 8)),
                  static_cast<const unsigned char*>(row) + i * 16, 16);
  }
}

/// R from its fragments to rows of 64 k, one per column in the order of kronecker_column; several loads at a time, for
/// a block that has one token waits for them.
template <class Size>
PLANISH_DEVICE void spread_right(const std::uint16_t* fragments, int threads, unsigned char* right) noexcept {
  constexpr int pairs = Size::columns / 16, count = pairs * pairs * 32, together = 8;
  for (int begin = thread_index(); begin < count; begin += together * threads) {
    Vector16 v[together];
    PLANISH_UNROLL
    for (int j = 0; j < together; ++j)
      if (begin + j * threads < count) v[j] = reinterpret_cast<const Vector16*>(fragments)[begin + j * threads];
    PLANISH_UNROLL
    for (int j = 0; j < together; ++j) {
      const int i = begin + j * threads, lane = i % 32, pair = i / 32 % pairs, k = i / 32 / pairs;
      if (i >= count) break;
      PLANISH_UNROLL
      for (int w = 0; w < 4; ++w) {
        const int column = 16 * pair + 8 * (w / 2) + lane / 4, byte = 32 * (k % 4) + 16 * (w % 2) + 4 * (lane % 4);
        *reinterpret_cast<std::uint32_t*>(right + k / 4 * Size::columns * 128 + exchanged_offset(column, byte)) =
            v[j].words[w];
      }
    }
  }
}

/// The fragments of Lᵀ of one warp.
template <class Size>
PLANISH_DEVICE void load_left(const KroneckerFactorsView& f, int tile, Vector16 (&left)[Size::left_steps]) noexcept {
  const int steps = sixteens(f.n1);
  PLANISH_UNROLL
  for (int k = 0; k < Size::left_steps; ++k) {
    left[k] = Vector16{{0, 0, 0, 0}};
    if (tile < steps && k < steps)
      left[k] = reinterpret_cast<const Vector16*>(f.left)[(tile * steps + k) * 32 + thread_index() % warp_size];
  }
}

/// V = round(Lᵀ · M) · R of one warpgroup's rows: of `Width` columns of U, from `first` on.
template <class Size, int Width>
PLANISH_DEVICE void transform_columns(const Vector16 (&left)[Size::left_steps], const unsigned char* columns,
                                      const unsigned char* right, int first,
                                      float (&sums)[Size::columns / 2]) noexcept {
  using E = typename Size::Type;
  float between[Width / 2];
  begin_products();
  PLANISH_UNROLL
  for (int k = 0; k < Size::left_steps; ++k)
    multiply_across<E>(between, left[k].words, columns + k * 2048, Size::chunk_bytes, k > 0);
  commit_products();
  wait_products<0>();
  settle(between);
  std::uint32_t rounded[Width / 16][4];
  PLANISH_UNROLL
  for (int i = 0; i < Width / 4; ++i) rounded[i / 4][i % 4] = round_pair(E{}, between[2 * i], between[2 * i + 1]);
  begin_products();
  PLANISH_UNROLL
  for (int i = 0; i < Width / 16; ++i) {
    const int k = first / 16 + i;
    multiply_along<E>(sums, rounded[i], right + k / 4 * Size::columns * 128, k % 4 * 32, k > 0);
  }
  commit_products();
  wait_products<0>();
  settle(sums);
}
template <class Size>
PLANISH_DEVICE void transform_rows(const Vector16 (&left)[Size::left_steps], const unsigned char* ring, int stage,
                                   const unsigned char* right, float (&sums)[Size::columns / 2]) noexcept {
  PLANISH_UNROLL
  for (int first = 0; first + Size::block <= Size::columns; first += Size::block)
    transform_columns<Size, Size::block>(left, ring + Size::chunk_at(stage, first / 64), right, first, sums);
  constexpr int rest = Size::columns % Size::block, chunk = Size::chunks - 1;
  if constexpr (rest > 0)
    transform_columns<Size, rest>(left, ring + Size::chunk_at(stage, chunk) + Size::byte_at(stage, chunk), right,
                                  Size::columns - rest, sums);
}

/// `Count` codes of a lane's neighbouring columns in one word, `Bits` each, first lowest.
template <int Bits, int Count, bool Cut, int Registers>
PLANISH_DEVICE std::uint32_t packed_codes(const RowCoder& coder, const float (&sums)[Registers], int first) noexcept {
  std::uint32_t steps[Count];
  PLANISH_UNROLL
  for (int i = 0; i < Count; ++i) steps[i] = coder.template quick_steps<Cut>(sums[first + i / 2 * 4 + i % 2]);
  return pack_steps<Bits, Count>(steps, coder.affine.zero_point);
}

/// Stores the codes of a warp's 16 rows of V and returns this lane's sum of them.
template <class Size, bool Cut>
PLANISH_DEVICE int store_group_codes(const RowCoder& coder, const float (&sums)[Size::columns / 2], int first_row,
                                     int n1, CodeForm form, std::int8_t* to) noexcept {
  constexpr int tiles = Size::columns / 8;
  const int lane = thread_index() % warp_size;
  auto* const out = reinterpret_cast<unsigned char*>(to);
  int sum = 0;
  PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = first_row + 8 * h + lane / 4;
    if (row >= n1) continue;
    PLANISH_UNROLL
    for (int tile = 0; tile < tiles; tile += 8) {
      const int together = tiles - tile < 8 ? tiles - tile : 8;
      const int at = row * Size::columns + 8 * tile + 2 * together * (lane % 4), first = 4 * tile + 2 * h;
      if (form == CodeForm::bytes) {
        std::uint32_t words[4] = {};
        PLANISH_UNROLL
        for (int word = 0; word < 4; ++word) {
          if (2 * word >= together) break;
          words[word] = packed_codes<8, 4, Cut>(coder, sums, first + 8 * word);
          sum = add_bytes(words[word], sum);
        }
        if (together == 8)
          *reinterpret_cast<Vector16*>(out + at) = Vector16{{words[0], words[1], words[2], words[3]}};
        else if (together == 4)
          *reinterpret_cast<Vector8*>(out + at) = Vector8{{words[0], words[1]}};
        else
          *reinterpret_cast<std::uint32_t*>(out + at) = words[0];
        continue;
      }
      if (together == 8) {
        std::uint32_t words[2];
        PLANISH_UNROLL
        for (int word = 0; word < 2; ++word) {
          words[word] = packed_codes<4, 8, Cut>(coder, sums, first + 16 * word);
          sum = add_nibbles(words[word], sum) - 64;
        }
        *reinterpret_cast<Vector8*>(out + at / 2) = Vector8{{words[0], words[1]}};
      } else if (together == 4) {
        const std::uint32_t word = packed_codes<4, 8, Cut>(coder, sums, first);
        sum = add_nibbles(word, sum) - 64;
        *reinterpret_cast<std::uint32_t*>(out + at / 2) = word;
      } else {
        const std::uint32_t word = packed_codes<4, 4, Cut>(coder, sums, first);
        sum = add_nibbles(word, sum) - 32;
        *reinterpret_cast<std::uint16_t*>(out + at / 2) = static_cast<std::uint16_t>(word);
      }
    }
  }
  return sum;
}

/// Stores a warp's 16 rows of V, rounded.
template <class Size>
PLANISH_DEVICE void store_group_values(const float (&sums)[Size::columns / 2], float factor, int first_row, int n1,
                                       std::uint16_t* y) noexcept {
  constexpr int tiles = Size::columns / 8;
  const int lane = thread_index() % warp_size;
  PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = first_row + 8 * h + lane / 4;
    if (row >= n1) continue;
    PLANISH_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      const std::uint32_t pair =
          round_pair(typename Size::Type{}, sums[4 * tile + 2 * h] * factor, sums[4 * tile + 2 * h + 1] * factor);
      std::uint16_t* const to = y + row * Size::columns + kronecker_column(tiles, tile, 2 * (lane % 4));
      to[0] = static_cast<std::uint16_t>(pair);
      to[1] = static_cast<std::uint16_t>(pair >> 16);
    }
  }
}

/// Persistent blocks, tokens dealt as by kronecker_rows. Rows are fetched in the background.
template <class Size>
PLANISH_KERNEL(Size::most_threads, 1)
kronecker_groups(KroneckerArguments a, KroneckerSharing s, int rows) {
  const int n1 = a.factors.n1, group = thread_index() / Size::token_threads;
  const int thread = thread_index() % Size::token_threads, warp = thread / warp_size;
  constexpr int warps = Size::token_threads / warp_size;
  unsigned char* const right =
      shared_memory() + (1024 - reinterpret_cast<std::uintptr_t>(shared_memory()) % 1024) % 1024;
  unsigned char* const ring = right + Size::right_bytes + group * Size::ring_bytes(s.stages);
  auto* const meeting = reinterpret_cast<RangeSoFar*>(
      right + Size::right_bytes + s.groups * Size::ring_bytes(s.stages) + group * kronecker_meeting_bytes);
  // Rows of M beyond n1 are zero from here on.
  for (int i = thread; i < Size::ring_bytes(s.stages) / Size::chunk_bytes * (16 * Size::left_steps - n1) * 8;
       i += Size::token_threads) {
    const int beyond = 16 * Size::left_steps - n1, chunk = i / 8 / beyond;
    *reinterpret_cast<Vector16*>(ring + chunk * Size::chunk_bytes + n1 * 128 + (i - chunk * 8 * beyond) * 16) =
        Vector16{{0, 0, 0, 0}};
  }
  const std::int64_t tokens_on = std::int64_t{block_count()} * s.groups;
  const std::int64_t first = std::int64_t{block_index()} * s.groups + group;
  const auto fetch = [&](std::int64_t token, int stage) {
    if (token < rows)
      fetch_columns<Size>(static_cast<const typename Size::Type*>(a.x) + token * a.row_stride, n1, thread, ring, stage);
    commit_copies();
  };
  for (int i = 0; i < s.stages - 1; ++i) fetch(first + i * tokens_on, i);
  Vector16 left[Size::left_steps];
  if constexpr (Size::left_in_registers) load_left<Size>(a.factors, warp, left);
  spread_right<Size>(a.factors.right, s.groups * Size::token_threads, right);
  publish_to_products();
  block_barrier();

  int stage = 0;
  PLANISH_NO_UNROLL
  for (std::int64_t token = first; token < rows; token += tokens_on) {
    if constexpr (!Size::left_in_registers) load_left<Size>(a.factors, warp, left);
    if (s.stages == 2)
      wait_copies<0>();
    else
      wait_copies<1>();
    publish_to_products();
    group_barrier(1 + group, Size::token_threads);  // this token has come, and nobody still reads the one before
    fetch(token + (s.stages - 1) * tokens_on, stage == 0 ? s.stages - 1 : stage - 1);
    float sums[Size::columns / 2];
    transform_rows<Size>(left, ring, stage, right, sums);
    stage = stage + 1 == s.stages ? 0 : stage + 1;

    if (a.y != nullptr) {
      store_group_values<Size>(sums, a.factor, 16 * warp, n1, static_cast<std::uint16_t*>(a.y) + token * a.y_stride);
      continue;
    }
    RangeSoFar range;
    PLANISH_UNROLL
    for (int i = 0; i < Size::columns / 2; ++i) range.add(sums[i]);
    range = join_warp(range);
    if (thread % warp_size == 0) meeting[warp] = range;
    group_barrier(1 + group, Size::token_threads);
    range = meeting[0];
    PLANISH_UNROLL
    for (int i = 1; i < warps; ++i) range.join(meeting[i]);
    const ValueRange values{range.lowest * a.factor, range.highest * a.factor};
    RowCoder coder = RowCoder::make(values, range.finite(), a.quantizer);
    const bool cut = coder.shifted || !coder.usable || !coder.covers(values);
    if (coder.shifted) {
      PLANISH_UNROLL
      for (int i = 0; i < Size::columns / 2; ++i) sums[i] = coder.shifted_value(sums[i] * a.factor);
    } else {
      coder.reciprocal *= a.factor;
    }
    std::int8_t* const out = a.out.codes + token * a.out.stride;
    int sum = cut ? store_group_codes<Size, true>(coder, sums, 16 * warp, n1, s.form, out)
                  : store_group_codes<Size, false>(coder, sums, 16 * warp, n1, s.form, out);
    if (s.form == CodeForm::bytes)
      for (int i = n1 * Size::columns + thread; i < static_cast<int>(a.out.stride); i += Size::token_threads)
        out[i] = 0;
    if (a.out.sums != nullptr) {
      group_barrier(1 + group, Size::token_threads);
      sum = sum_warp(sum);
      auto* const parts = reinterpret_cast<int*>(meeting);
      if (thread % warp_size == 0) parts[warp] = sum;
      group_barrier(1 + group, Size::token_threads);
      sum = 0;
      for (int i = 0; i < warps; ++i) sum += parts[i];
    }
    if (thread == 0) {
      a.out.scales[token] = coder.affine.scale;
      if (a.out.sums != nullptr) a.out.sums[token] = sum;
      if (a.out.zero_points != nullptr) a.out.zero_points[token] = coder.affine.zero_point;
      if (!coder.usable && a.bad_rows != nullptr) (void)atomic_add(a.bad_rows, 1);
    }
    warp_barrier();  // products need whole warps
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
