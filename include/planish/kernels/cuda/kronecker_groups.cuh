#pragma once
// The kernel of kronecker.cuh on the products of warpgroups (sm_90a): a warpgroup owns 64 rows of U and of V. Both
// factors stay where they are for the life of a block, Lᵀ as fragments, R in shared memory; the copy engine brings M as
// it lies.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/group_columns.cuh>
#include <planish/kernels/cuda/kronecker.cuh>
#include <planish/kernels/cuda/kronecker_group_size.cuh>
#include <planish/kernels/cuda/row_range.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Brings the one token of a block by all of its threads: the copy engine would have to fetch its map first.
template <class Size>
PLANISH_DEVICE void fetch_at_once(const void* row, int n1, int threads, unsigned char* stage) noexcept {
  constexpr int across = Size::columns / 8;  // pieces of 16 bytes
  PLANISH_NO_UNROLL
  for (int i = thread_index(); i < n1 * across; i += threads) {
    const int r = i / across, piece = i % across % 8, chunk = i % across / 8;
    const int place = Size::narrow && chunk == Size::whole_chunks ? r * 64 + (piece ^ r / 2 % 4) * 16
                                                                  : exchanged_offset(r, piece * 16);
    copy_async_16(stage + chunk * Size::chunk_bytes + place, static_cast<const unsigned char*>(row) + i * 16, 16);
  }
}

/// A word of R's fragments in its row: one per column in the order of kronecker_column, 64 k to a row.
template <class Size>
[[nodiscard]] PLANISH_DEVICE int right_place(int i, int w) noexcept {
  constexpr int pairs = Size::columns / 16;
  const int lane = i % 32, pair = i / 32 % pairs, k = i / 32 / pairs;
  const int column = 16 * pair + 8 * (w / 2) + lane / 4, byte = 32 * (k % 4) + 16 * (w % 2) + 4 * (lane % 4);
  return k / 4 * Size::columns * 128 + exchanged_offset(column, byte);
}
/// One of Lᵀ, by rows.
template <class Size>
[[nodiscard]] PLANISH_DEVICE int left_place(int i, int w) noexcept {
  const int lane = i % 32, tile = i / 32 / Size::left_steps, k = i / 32 % Size::left_steps;
  const int row = 16 * tile + 8 * (w % 2) + lane / 4, byte = 32 * (k % 4) + 16 * (w / 2) + 4 * (lane % 4);
  return k / 4 * Size::left_chunk_bytes + exchanged_offset(row, byte);
}

/// The factors from fragments to rows, behind each other. All loads of a thread, or as many as it has registers for,
/// come before its first store: a block that has one token waits for them.
template <class Size>
PLANISH_DEVICE void spread_factors(const KroneckerFactorsView& f, int threads, unsigned char* to) noexcept {
  constexpr int rights = Size::columns / 16 * (Size::columns / 16) * 32;
  constexpr int lefts = Size::left_in_registers ? 0 : 4 * Size::row_groups * Size::left_steps * 32;
  constexpr int all = rights + lefts, each = (all + Size::most_threads - 1) / Size::most_threads;
  constexpr int together = each < 13 ? each : 13;
  const int steps = sixteens(f.n1);
  PLANISH_NO_UNROLL
  for (int begin = thread_index(); begin < all; begin += together * threads) {
    Vector16 v[together];
    PLANISH_UNROLL
    for (int j = 0; j < together; ++j) {
      const int i = begin + j * threads, left = i - rights;
      const int tile = left / 32 / Size::left_steps, k = left / 32 % Size::left_steps;
      v[j] = Vector16{{0, 0, 0, 0}};
      if (i < rights)
        v[j] = reinterpret_cast<const Vector16*>(f.right)[i];
      else if (i < all && tile < steps && k < steps)
        v[j] = reinterpret_cast<const Vector16*>(f.left)[(tile * steps + k) * 32 + left % 32];
    }
    PLANISH_UNROLL
    for (int j = 0; j < together; ++j) {
      const int i = begin + j * threads;
      if (i >= all) break;
      PLANISH_UNROLL
      for (int w = 0; w < 4; ++w) {
        const int place = i < rights ? right_place<Size>(i, w) : Size::right_bytes + left_place<Size>(i - rights, w);
        *reinterpret_cast<std::uint32_t*>(to + place) = v[j].words[w];
      }
    }
  }
}

/// Lᵀ as a warp has it: its fragments, or the 64 rows of its warpgroup in shared memory.
template <class Size, bool InRegisters = Size::left_in_registers>
struct GroupLeft {
  Vector16 kept[Size::left_steps];

  PLANISH_DEVICE GroupLeft(const KroneckerFactorsView& f, int tile, const unsigned char*) noexcept {
    const int steps = sixteens(f.n1);
    PLANISH_UNROLL
    for (int k = 0; k < Size::left_steps; ++k) {
      kept[k] = Vector16{{0, 0, 0, 0}};
      if (tile < steps && k < steps)
        kept[k] = reinterpret_cast<const Vector16*>(f.left)[(tile * steps + k) * 32 + thread_index() % warp_size];
    }
  }
  template <int Registers>
  PLANISH_DEVICE void multiply(float (&sums)[Registers], int k, const unsigned char* columns) const noexcept {
    multiply_across<typename Size::Type>(sums, kept[k].words, columns, Size::chunk_bytes, k > 0);
  }
};
template <class Size>
struct GroupLeft<Size, false> {
  const unsigned char* rows;

  PLANISH_DEVICE GroupLeft(const KroneckerFactorsView&, int tile, const unsigned char* left) noexcept
      : rows(left + tile / 4 * 64 * 128) {}
  template <int Registers>
  PLANISH_DEVICE void multiply(float (&sums)[Registers], int k, const unsigned char* columns) const noexcept {
    multiply_shared_across<typename Size::Type>(sums, rows + k / 4 * Size::left_chunk_bytes, k % 4 * 32, columns,
                                                Size::chunk_bytes, k > 0);
  }
};

/// Starts `Width` columns of U of one warpgroup's rows, from column `first` of a stage on.
template <class Size, int Width>
PLANISH_DEVICE void start_left(const GroupLeft<Size>& left, const unsigned char* stage, int first,
                               float (&between)[Width / 2]) noexcept {
  const unsigned char* const columns = stage + first / 64 * Size::chunk_bytes;
  begin_products();
  PLANISH_UNROLL
  for (int k = 0; k < Size::left_steps; ++k) {
    if constexpr (Width == 32)
      multiply_across_narrow<typename Size::Type>(between, left.kept[k].words, columns + k * 1024, k > 0);
    else
      left.multiply(between, k, columns + k * 2048);
  }
  commit_products();
}

/// U from sums to operands, once all products but those of `Pending` groups are done.
template <class Size, int Pending, int Width>
PLANISH_DEVICE void round_left(float (&between)[Width], int first,
                               std::uint32_t (&rounded)[Size::columns / 16][4]) noexcept {
  wait_products<Pending>();
  settle(between);
  PLANISH_UNROLL
  for (int i = 0; i < Width / 2; ++i)
    rounded[first / 16 + i / 4][i % 4] = round_pair(typename Size::Type{}, between[2 * i], between[2 * i + 1]);
  // Not later: the next products go where these sums were.
  PLANISH_UNROLL
  for (int i = 0; i < Width / 8; ++i) settle(rounded[first / 16 + i]);
}

/// V = round(Lᵀ · M) · R of one warpgroup's rows. Where U is wide it comes in blocks of 64 columns, two at a time.
template <class Size>
PLANISH_DEVICE void transform_rows(const GroupLeft<Size>& left, const unsigned char* stage, const unsigned char* right,
                                   float (&sums)[Size::columns / 2]) noexcept {
  std::uint32_t rounded[Size::columns / 16][4];
  if constexpr (!Size::narrow) {
    float between[Size::columns / 2];
    start_left<Size, Size::columns>(left, stage, 0, between);
    round_left<Size, 0>(between, 0, rounded);
  } else {
    constexpr int blocks = Size::columns / 64;
    float between[blocks][32], rest[16];  // ptxas 13.0 loses products whose sums others take over
    start_left<Size, 64>(left, stage, 0, between[0]);
    PLANISH_UNROLL
    for (int i = 1; i < blocks; ++i) {
      start_left<Size, 64>(left, stage, 64 * i, between[i]);
      round_left<Size, 1>(between[i - 1], 64 * (i - 1), rounded);
    }
    start_left<Size, 32>(left, stage, 64 * blocks, rest);
    round_left<Size, 1>(between[blocks - 1], 64 * (blocks - 1), rounded);
    round_left<Size, 0>(rest, 64 * blocks, rounded);
  }
  begin_products();
  PLANISH_UNROLL
  for (int k = 0; k < Size::columns / 16; ++k)
    multiply_along<typename Size::Type>(sums, rounded[k], right + k / 4 * Size::columns * 128, k % 4 * 32, k > 0);
  commit_products();
  wait_products<0>();
  settle(sums);
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

/// Persistent blocks; group g of block b takes tokens g · blocks + b, and so on by the number of all groups. `narrow`:
/// of the half chunk at the end of a row, where there is one.
template <class Size>
PLANISH_KERNEL(Size::most_threads, 1)
kronecker_groups(KroneckerArguments a, PLANISH_GRID_CONSTANT const TensorMap whole,
                 PLANISH_GRID_CONSTANT const TensorMap narrow, KroneckerSharing s, int rows) {
#if !defined(__CUDA_ARCH__) || defined(PLANISH_HAS_GROUP_PRODUCTS)
  let_next_kernel_start();
  const int n1 = a.factors.n1, group = thread_index() / Size::token_threads;
  const int thread = thread_index() % Size::token_threads, warp = thread / warp_size;
  unsigned char* const right =
      shared_memory() + (1024 - reinterpret_cast<std::uintptr_t>(shared_memory()) % 1024) % 1024;
  unsigned char* const lefts = right + Size::right_bytes;
  unsigned char* const rings = lefts + Size::left_bytes;
  unsigned char* const ring = rings + group * s.stages * Size::stage_bytes;
  auto& ends = reinterpret_cast<typename Size::Ends*>(rings + s.groups * s.stages * Size::stage_bytes)[group];
  // Unsigned: the last steps may go beyond an int. As many tokens for every block.
  const auto tokens_on = static_cast<std::uint32_t>(block_count() * s.groups), count = static_cast<std::uint32_t>(rows);
  const auto first = static_cast<std::uint32_t>(group * block_count() + block_index());
  // What one thread does alone is for another warp in every group: they share the units of a multiprocessor.
  const bool fetches = thread == group % Size::warps * warp_size;
  const bool tells = thread == (group + 2) % Size::warps * warp_size;
  const auto fetch = [&](std::uint32_t token, int stage) {
    if (token >= count) return;
    MemoryBarrier* const full = &ends.full[stage];
    unsigned char* const to = ring + stage * Size::stage_bytes;
    arrive_expecting(full, Size::token_bytes(n1));
    PLANISH_UNROLL
    for (int chunk = 0; chunk < Size::whole_chunks; ++chunk)
      copy_box(to + chunk * Size::chunk_bytes, &whole, chunk * 128, 0, static_cast<int>(token), full);
    if constexpr (Size::narrow)
      copy_box(to + Size::whole_chunks * Size::chunk_bytes, &narrow, Size::whole_chunks * 128, 0,
               static_cast<int>(token), full);
  };
  const auto fetch_all = [&] {
    fetch_at_once<Size>(static_cast<const typename Size::Type*>(a.x) + block_index() * a.row_stride, n1,
                        s.groups * Size::token_threads, rings);
  };
  if (s.few && !s.early) fetch_all();
  if (fetches && !s.few) {
    PLANISH_UNROLL
    for (int i = 0; i < Size::most_stages; ++i) start_barrier(&ends.full[i], 1);
    publish_barriers();
    if (!s.early) fetch(first, 0);  // the others after the factors, which all wait for
  }
  // Rows of M beyond n1 are zero from here on.
  const int beyond = 16 * Size::left_steps - n1;
  PLANISH_NO_UNROLL
  for (int chunk = 0; beyond > 0 && chunk < s.stages * Size::chunks; ++chunk) {
    const int i = chunk % Size::chunks, pieces = Size::narrow && i == Size::whole_chunks ? 4 : 8;  // of a row
    auto* const to = reinterpret_cast<Vector16*>(ring + chunk / Size::chunks * Size::stage_bytes +
                                                 i * Size::chunk_bytes + n1 * pieces * 16);
    PLANISH_NO_UNROLL
    for (int piece = thread; piece < beyond * pieces; piece += Size::token_threads) to[piece] = {{0, 0, 0, 0}};
  }
  const GroupLeft<Size> left(a.factors, warp, lefts);
  spread_factors<Size>(a.factors, s.groups * Size::token_threads, right);
  wait_for_kernel_before();  // the factors are older
  if (s.few) {
    if (s.early) fetch_all();
    commit_copies();
    wait_copies<0>();
  } else if (fetches) {
    PLANISH_NO_UNROLL
    for (int i = s.early ? 0 : 1; i < s.stages; ++i) fetch(first + static_cast<std::uint32_t>(i) * tokens_on, i);
  }
  publish_to_products();
  block_barrier();

  int stage = 0, parity = 0, turn = 0;
  PLANISH_NO_UNROLL
  for (std::uint32_t token = first; token < count; token += tokens_on, turn ^= 1) {
    const int here = stage;
    if (!s.few) wait_phase(&ends.full[here], parity);
    float sums[Size::columns / 2];
    transform_rows<Size>(left, ring + here * Size::stage_bytes, right, sums);
    if (++stage == s.stages) {
      stage = 0;
      parity ^= 1;
    }
    typename Size::Meeting& meeting = ends.meetings[turn];
    RangeBits range;
    if (a.y == nullptr) {
      PLANISH_UNROLL
      for (int i = 0; i < Size::columns / 2; i += 2) range.add(sums[i], sums[i + 1]);
      range.join_warp();
      if (thread % warp_size == 0) {
        meeting.highest[warp] = range.highest;
        meeting.lowest[warp] = range.lowest;
      }
    }
    group_barrier(1 + group, Size::token_threads);  // and nobody needs this token any more
    if (fetches) fetch(token + static_cast<std::uint32_t>(s.stages) * tokens_on, here);
    if (a.y != nullptr) {
      store_group_values<Size>(sums, a.factor, 16 * warp, n1, static_cast<std::uint16_t*>(a.y) + token * a.y_stride);
      warp_barrier();
      continue;
    }
    PLANISH_UNROLL
    for (int i = 0; i < Size::warps; i += 4) {
      const auto high = *reinterpret_cast<const Vector16*>(&meeting.highest[i]);
      const auto low = *reinterpret_cast<const Vector16*>(&meeting.lowest[i]);
      range.highest =
          greatest_of(greatest_of(range.highest, high.words[0], high.words[1]), high.words[2], high.words[3]);
      range.lowest = greatest_of(greatest_of(range.lowest, low.words[0], low.words[1]), low.words[2], low.words[3]);
    }
    const ValueRange found = range.values(), values{found.lowest * a.factor, found.highest * a.factor};
    RowCoder coder = RowCoder::make_quickly(values, range.finite(), a.quantizer);
    const bool quick = coder.usable;
    if (!quick) coder = RowCoder::make(values, range.finite(), a.quantizer);
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
    if (s.form == CodeForm::bytes) {
      PLANISH_NO_UNROLL
      for (int i = n1 * Size::columns + thread; i < static_cast<int>(a.out.stride); i += Size::token_threads)
        out[i] = 0;
    }
    warp_barrier();
    if (a.out.sums != nullptr) {
      sum = sum_warp(sum);
      if (thread % warp_size == 0) meeting.sums[warp] = sum;
      group_barrier(1 + group, Size::token_threads);
      sum = 0;
      PLANISH_UNROLL
      for (int i = 0; i < Size::warps; ++i) sum += meeting.sums[i];
    }
    if (tells) {
      a.out.scales[token] = quick ? coder.quick_scale() : coder.affine.scale;
      if (a.out.sums != nullptr) a.out.sums[token] = sum;
      if (a.out.zero_points != nullptr) a.out.zero_points[token] = coder.affine.zero_point;
      if (!coder.usable && a.bad_rows != nullptr) (void)atomic_add(a.bad_rows, 1);
    }
    warp_barrier();  // products need whole warps
  }
#endif
}

/// The rows as the copy engine reads them: becomes a kernel's argument where one is launched. `columns`: bytes of a
/// box.
struct KroneckerTokenMap {
  void* encode;
  const KroneckerArguments& a;
  int rows, columns;

  [[nodiscard]] bool describe(TensorMap& map) const noexcept {
    const index row_bytes = 2 * index{a.factors.n2};
    const index distance = rows > 1 ? 2 * a.row_stride : a.factors.n1 * row_bytes;
    return describe_matrices(encode, {{a.x, a.factors.n1, row_bytes, row_bytes}, rows, distance}, columns, a.factors.n1,
                             map);
  }
  explicit operator TensorMap() const noexcept {
    TensorMap map = {};
    if (columns > 0) static_cast<void>(describe(map));  // `check` has refused what cannot be described
    return map;
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
