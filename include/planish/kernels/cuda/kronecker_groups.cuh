#pragma once
// The kernel of kronecker.cuh on the products of warpgroups (sm_90a): a warpgroup owns 64 rows of U and of V. Both
// factors stay where they are for the life of a block, Lᵀ as fragments, R in shared memory; the copy engine brings M as
// it lies.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/group_columns.cuh>
#include <planish/kernels/cuda/kronecker.cuh>
#include <planish/kernels/cuda/kronecker_group_codes.cuh>
#include <planish/kernels/cuda/kronecker_group_factors.cuh>
#include <planish/kernels/cuda/kronecker_group_products.cuh>
#include <planish/kernels/cuda/kronecker_group_size.cuh>
#include <planish/kernels/cuda/kronecker_groups_prologue.cuh>
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

/// Persistent blocks; group g of block b takes tokens g · blocks + b, and so on by the number of all groups. `narrow`:
/// of the half chunk at the end of a row, where there is one, or before SwiGLU of the rows of `up`.
template <class Size, Prologue Before = Prologue::none>
PLANISH_KERNEL(Size::most_threads, 1)
kronecker_groups(KroneckerArguments a, PLANISH_GRID_CONSTANT const TensorMap whole,
                 PLANISH_GRID_CONSTANT const TensorMap narrow, KroneckerSharing s, int rows) {
#if !defined(__CUDA_ARCH__) || defined(PLANISH_HAS_GROUP_PRODUCTS)
  using Ends = GroupEnds<Size, Before>;
  constexpr bool gates = Before == Prologue::swiglu;
  constexpr int stage_bytes = group_stage_bytes<Size>(Before);
  if constexpr (Before == Prologue::none) let_next_kernel_start();
  const int n1 = a.factors.n1, group = thread_index() / Size::token_threads;
  const int thread = thread_index() % Size::token_threads, warp = thread / warp_size;
  unsigned char* const right =
      shared_memory() + (1024 - reinterpret_cast<std::uintptr_t>(shared_memory()) % 1024) % 1024;
  unsigned char* const lefts = right + Size::right_bytes;
  unsigned char* const rings = lefts + Size::left_bytes;
  unsigned char* const ring = rings + group * s.stages * stage_bytes;
  auto& ends = reinterpret_cast<Ends*>(rings + s.groups * s.stages * stage_bytes)[group];
  // Unsigned: the last steps may go beyond an int. As many tokens for every block.
  const auto tokens_on = static_cast<std::uint32_t>(block_count() * s.groups), count = static_cast<std::uint32_t>(rows);
  const auto first = static_cast<std::uint32_t>(group * block_count() + block_index());
  // What one thread does alone is for another warp in every group: they share the units of a multiprocessor.
  const bool fetches = thread == group % Size::warps * warp_size;
  const bool tells = thread == (group + 2) % Size::warps * warp_size;
  const auto fetch = [&](std::uint32_t token, int stage) {
    if (token >= count) return;
    MemoryBarrier* const full = &ends.full[stage];
    unsigned char* const to = ring + stage * stage_bytes;
    arrive_expecting(full, Size::token_bytes(n1));
    PLANISH_UNROLL
    for (int chunk = 0; chunk < Size::whole_chunks; ++chunk)
      copy_box(to + chunk * Size::chunk_bytes, &whole, chunk * 128, 0, static_cast<int>(token), full);
    if constexpr (Size::narrow)
      copy_box(to + Size::whole_chunks * Size::chunk_bytes, &narrow, Size::whole_chunks * 128, 0,
               static_cast<int>(token), full);
  };
  [[maybe_unused]] const auto fetch_up = [&](std::uint32_t token, int stage) {
    if constexpr (gates) {
      if (token >= count) return;
      unsigned char* const to = ring + stage * stage_bytes + Size::stage_bytes;
      arrive_expecting(&ends.up_full[stage], Size::token_bytes(n1));
      PLANISH_UNROLL
      for (int chunk = 0; chunk < Size::chunks; ++chunk)
        copy_box(to + chunk * Size::chunk_bytes, &narrow, chunk * 128, 0, static_cast<int>(token),
                 &ends.up_full[stage]);
    }
  };
  MemoryBarrier* const factors = &reinterpret_cast<Ends*>(rings + s.groups * s.stages * stage_bytes)->factors;
  if (thread_index() == 0 && a.factors.panels != nullptr) {
    start_barrier(factors, 1);
    publish_barriers();
    arrive_expecting(factors, Size::right_bytes + Size::left_bytes);
    copy_bulk(right, a.factors.panels, Size::right_bytes + Size::left_bytes, factors);
  }
  const auto fetch_all = [&] {
    if constexpr (Before == Prologue::none)
      fetch_at_once<Size>(static_cast<const typename Size::Type*>(a.x) + block_index() * a.row_stride, n1,
                          s.groups * Size::token_threads, rings);
  };
  if (s.few && !s.early) fetch_all();
  if (fetches && !s.few) {
    PLANISH_UNROLL
    for (int i = 0; i < Size::most_stages; ++i) {
      start_barrier(&ends.full[i], 1);
      if constexpr (gates) start_barrier(&ends.up_full[i], 1);
    }
    publish_barriers();
    if (!s.early) {  // the others after the factors, which all wait for
      fetch(first, 0);
      fetch_up(first, 0);
    }
  }
  // Rows of M beyond n1 are zero from here on.
  const int beyond = 16 * Size::left_steps - n1;
  PLANISH_NO_UNROLL
  for (int chunk = 0; beyond > 0 && chunk < s.stages * Size::chunks; ++chunk) {
    const int i = chunk % Size::chunks, pieces = Size::narrow && i == Size::whole_chunks ? 4 : 8;  // of a row
    auto* const to = reinterpret_cast<Vector16*>(ring + chunk / Size::chunks * stage_bytes + i * Size::chunk_bytes +
                                                 n1 * pieces * 16);
    PLANISH_NO_UNROLL
    for (int piece = thread; piece < beyond * pieces; piece += Size::token_threads) to[piece] = {{0, 0, 0, 0}};
  }
  const GroupLeft<Size> left(a.factors, warp, lefts);
  if (a.factors.panels == nullptr) {
    if constexpr (!Size::left_in_registers) spread_left<Size>(a.factors, s.groups * Size::token_threads, lefts);
    spread_right<Size>(a.factors, s.groups * Size::token_threads, right);
  }
  wait_for_kernel_before();  // the factors are older
  if constexpr (Before != Prologue::none) let_next_kernel_start();
  if (s.few) {
    if (s.early) fetch_all();
    if constexpr (Before != Prologue::none)
      fetch_through_prologue<Size, Before>(a, s.share, block_index(), reinterpret_cast<Ends*>(&ends - group)->squares,
                                           rings);
    commit_copies();
    wait_copies<0>();
  } else if (fetches) {
    PLANISH_NO_UNROLL
    for (int i = s.early ? 0 : 1; i < s.stages; ++i) {
      fetch(first + static_cast<std::uint32_t>(i) * tokens_on, i);
      fetch_up(first + static_cast<std::uint32_t>(i) * tokens_on, i);
    }
  }
  publish_to_products();
  block_barrier();
  if (a.factors.panels != nullptr) wait_phase(factors, 0);

  int stage = 0, parity = 0, turn = 0;
  PLANISH_NO_UNROLL
  for (std::uint32_t token = first; token < count; token += tokens_on, turn ^= 1) {
    const int here = stage;
    const std::uint32_t next = token + static_cast<std::uint32_t>(s.stages) * tokens_on;
    unsigned char* const m = ring + here * stage_bytes;
    if (!s.few) wait_phase(&ends.full[here], parity);
    if (Before != Prologue::none && !s.few) {
      if constexpr (gates) {
        wait_phase(&ends.up_full[here], parity);
        gate_stage<Size>(n1, thread, m);
      } else if constexpr (Before == Prologue::rms_norm) {
        norm_stage<Size>(a, s.share, thread, 1 + group, ends.squares, m);
      }
      publish_to_products();
      group_barrier(1 + group, Size::token_threads);
      if (fetches) fetch_up(next, here);
      warp_barrier();
    }
    float sums[Size::columns / 2];
    transform_rows<Size>(left, m, right, sums, [&] {
      if constexpr (gates) {  // whose two rows leave no room for those of the next token
        if (s.stages > 1) return;
        group_barrier(1 + group, Size::token_threads);
        if (fetches) fetch(next, here);
        warp_barrier();
      }
    });
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
    if (fetches && (!gates || s.stages > 1)) fetch(next, here);
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
    const auto store = [&](auto cuts, auto sums_too) {
      return store_group_codes<Size, cuts.value, sums_too.value>(coder, sums, 16 * warp, n1, s.form, out);
    };
    int sum = cut                     ? store(std::true_type{}, std::true_type{})
              : a.out.sums != nullptr ? store(std::false_type{}, std::true_type{})
                                      : store(std::false_type{}, std::false_type{});
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

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
