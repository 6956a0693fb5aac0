#pragma once
// What stands before a transform on the products of warpgroups (sm_90a): a token's threads compute it in place, in the
// stage where the copy engine left the row, or, where a block has one token, on the way there.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/kronecker_arguments.cuh>
#include <planish/kernels/cuda/kronecker_group_size.cuh>
#include <planish/kernels/cuda/quick_swiglu.cuh>
#include <planish/kernels/cuda/row_prologue.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Beside what a token's warps tell each other: the parts of a norm's sum, of all warps of a block, and where the rows
/// of `up` are announced.
template <class Size>
struct PrologueEnds : Size::Ends {
  alignas(16) double squares[32];
  MemoryBarrier up_full[Size::most_stages];
};
template <class Size, Prologue Before>
using GroupEnds = std::conditional_t<Before == Prologue::none, typename Size::Ends, PrologueEnds<Size>>;

/// Bytes of a stage: of M, and of SwiGLU's up behind it.
template <class Size>
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int group_stage_bytes(Prologue prologue) noexcept {
  return (prologue == Prologue::swiglu ? 2 : 1) * Size::stage_bytes;
}
/// Shared memory of a block, as Size::shared_bytes has it.
template <class Size>
[[nodiscard]] constexpr int group_shared_bytes(Prologue prologue, int groups, int stages) noexcept {
  if (prologue == Prologue::none) return Size::shared_bytes(groups, stages);
  return Size::shared_bytes(groups, 0) +
         groups * (stages * group_stage_bytes<Size>(prologue) +
                   static_cast<int>(sizeof(PrologueEnds<Size>) - sizeof(typename Size::Ends)));
}

/// One of the pieces of 16 bytes of a row in a stage.
struct RowPiece {
  int byte, element;  // from the begin of the stage; of the row
  bool there;         // or padding
};
/// Piece i of a stage as it lies: neighbours come one behind the other, whatever of the row they are.
template <class Size>
[[nodiscard]] PLANISH_DEVICE RowPiece piece_of_stage(int i, int n1) noexcept {
  constexpr int in_chunk = Size::chunk_bytes / 16;
  const int chunk = i / in_chunk, r = i % in_chunk / 8, column = chunk * 64 + (i % 8 ^ r % 8) * 8;
  return {i * 16, r * Size::columns + column, r < n1 && (Size::columns % 64 == 0 || column < Size::columns)};
}
/// The byte in a stage of piece i of a row, in its order.
template <class Size>
[[nodiscard]] PLANISH_DEVICE int place_in_stage(int i) noexcept {
  constexpr int across = Size::columns / 8;
  return i % across / 8 * Size::chunk_bytes + exchanged_offset(i / across, i % across % 8 * 16);
}

/// The factor of a norm from every thread's part of the squares; `meet` is a barrier of the `warps` that have parts.
template <class Meet>
[[nodiscard]] PLANISH_DEVICE float joined_norm_factor(double squares, double share, float epsilon, int warp, int warps,
                                                      double* meeting, const Meet& meet) noexcept {
  squares = sum_warp(squares);
  if (thread_index() % warp_size == 0) meeting[warp] = squares;
  meet();
  double parts[4] = {0.0, 0.0, 0.0, 0.0};
  for (int i = 0; i < warps; i += 4) PLANISH_UNROLL
  for (int j = 0; j < 4; ++j) parts[j] += meeting[i + j];
  return quick_norm_factor((parts[0] + parts[1]) + (parts[2] + parts[3]), share, epsilon);
}

/// SwiGLU of a token that lies in its stage, by the threads of its warpgroups.
template <class Size>
PLANISH_DEVICE void gate_stage(int n1, int thread, unsigned char* stage) noexcept {
  const auto gate = [=](int byte) {
    auto* const place = reinterpret_cast<Vector16*>(stage + byte);
    *place = gated_rounded<typename Size::Type>(*place, place[Size::stage_bytes / 16]);
  };
  if constexpr (Size::columns % 64 == 0) {  // pieces as they lie
    const int in_chunk = n1 * 8;
    PLANISH_NO_UNROLL
    for (int i = thread; i < Size::chunks * in_chunk; i += Size::token_threads) {
      int byte = i * 16;
      PLANISH_UNROLL
      for (int chunk = 1; chunk < Size::chunks; ++chunk)
        if (i >= chunk * in_chunk) byte += Size::chunk_bytes - in_chunk * 16;
      gate(byte);
    }
  } else {
    PLANISH_NO_UNROLL
    for (int i = thread; i < n1 * Size::columns / 8; i += Size::token_threads) gate(place_in_stage<Size>(i));
  }
}

/// The norm of a token that lies in its stage, by the threads of its warpgroups.
template <class Size>
PLANISH_DEVICE void norm_stage(const KroneckerArguments& a, double share, int thread, int barrier, double* meeting,
                               unsigned char* stage) noexcept {
  using E = typename Size::Type;
  constexpr int turns = Size::stage_bytes / 16 / Size::token_threads;
  constexpr int together = turns < 4 ? turns : 4;  // that registers hold
  static_assert(Size::stage_bytes % (16 * Size::token_threads) == 0);
  const auto piece = [&](int turn) { return piece_of_stage<Size>(thread + turn * Size::token_threads, a.factors.n1); };
  const auto here = [](int turn) { return turns % together == 0 || turn < turns; };
  Vector16 kept[together];
  float gains[together][8];
  const auto load = [&](int first) {
    PLANISH_UNROLL
    for (int i = 0; i < together; ++i) {
      kept[i] = Vector16{{0, 0, 0, 0}};
      if (here(first + i))
        kept[i] = *reinterpret_cast<const Vector16*>(stage + (thread + (first + i) * Size::token_threads) * 16);
    }
  };
  const auto load_gains = [&](int first) {
    PLANISH_UNROLL
    for (int i = 0; i < together; ++i)
      load_eight_gains(here(first + i) && piece(first + i).there ? a.prologue.gain : nullptr, piece(first + i).element,
                       gains[i]);
  };
  double squares = 0.0;
  PLANISH_NO_UNROLL
  for (int first = 0; first < turns; first += together) {
    load(first);
    PLANISH_UNROLL
    for (int i = 0; i < together; ++i) squares = add_squares<E>(kept[i], squares);  // padding is zero
  }
  PLANISH_UNROLL
  for (Vector16& v : kept) settle(v.words);  // so that 16 bits are kept, not what they were widened to
  load_gains(0);                             // they come while the warps meet
  const float factor = joined_norm_factor(squares, share, a.prologue.epsilon, thread / warp_size, Size::warps, meeting,
                                          [=] { group_barrier(barrier, Size::token_threads); });
  PLANISH_NO_UNROLL
  for (int first = 0; first < turns; first += together) {
    if (turns > together) {
      load(first);
      if (first > 0) load_gains(first);
    }
    PLANISH_UNROLL
    for (int i = 0; i < together; ++i)
      if (here(first + i) && piece(first + i).there)
        *reinterpret_cast<Vector16*>(stage + piece(first + i).byte) = normed<E>(kept[i], factor, gains[i]);
  }
}

/// Brings the one token of a block through its prologue, by all of its threads, Size::most_threads: what a thread asks
/// for is what it computes.
template <class Size, Prologue Before>
PLANISH_DEVICE void fetch_through_prologue(const KroneckerArguments& a, double share, std::int64_t token,
                                           double* meeting, unsigned char* stage) noexcept {
  using E = typename Size::Type;
  constexpr int threads = Size::most_threads, most = Size::left_steps * 16 * Size::columns / 8;
  constexpr int turns = (most + threads - 1) / threads;
  const int all = a.factors.n1 * Size::columns / 8;
  const auto* const row = reinterpret_cast<const Vector16*>(static_cast<const E*>(a.x) + token * a.row_stride);
  if constexpr (Before == Prologue::swiglu) {
    const auto* const up =
        reinterpret_cast<const Vector16*>(static_cast<const E*>(a.prologue.up) + token * a.prologue.up_stride);
    PLANISH_NO_UNROLL
    for (int i = thread_index(); i < all; i += threads) {
      unsigned char* const place = stage + place_in_stage<Size>(i);
      copy_async_16(place, row + i, 16);
      copy_async_16(place + Size::stage_bytes, up + i, 16);
    }
    commit_copies();
    wait_copies<0>();
    PLANISH_NO_UNROLL
    for (int i = thread_index(); i < all; i += threads) {
      auto* const place = reinterpret_cast<Vector16*>(stage + place_in_stage<Size>(i));
      *place = gated_rounded<E>(*place, place[Size::stage_bytes / 16]);
    }
  } else {
    Vector16 kept[turns];
    float gains[turns][8];
    double squares = 0.0;
    PLANISH_UNROLL
    for (int i = 0; i < turns; ++i) {
      const int at = thread_index() + i * threads;
      kept[i] = Vector16{{0, 0, 0, 0}};
      if (at < all) kept[i] = row[at];
    }
    PLANISH_UNROLL
    for (int i = 0; i < turns; ++i) squares = add_squares<E>(kept[i], squares);
    PLANISH_UNROLL
    for (int i = 0; i < turns; ++i) {  // they come while the warps meet
      settle(kept[i].words);
      const int at = thread_index() + i * threads;
      load_eight_gains(at < all ? a.prologue.gain : nullptr, 8 * at, gains[i]);
    }
    const float factor = joined_norm_factor(squares, share, a.prologue.epsilon, thread_index() / warp_size,
                                            threads / warp_size, meeting, [] { block_barrier(); });
    PLANISH_UNROLL
    for (int i = 0; i < turns; ++i) {
      const int at = thread_index() + i * threads;
      if (at >= all) break;
      *reinterpret_cast<Vector16*>(stage + place_in_stage<Size>(at)) = normed<E>(kept[i], factor, gains[i]);
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
