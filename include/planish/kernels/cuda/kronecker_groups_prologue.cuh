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
/// Piece i of a row, in its order.
template <class Size>
[[nodiscard]] PLANISH_DEVICE RowPiece piece_of_row(int i) noexcept {
  constexpr int across = Size::columns / 8;
  const int r = i / across, c = i % across;
  return {c / 8 * Size::chunk_bytes + exchanged_offset(r, c % 8 * 16), 8 * i, true};
}

/// The factor of a norm from every thread's part of the squares; `meet` is a barrier of the `warps` that have parts.
template <class Meet>
[[nodiscard]] PLANISH_DEVICE float joined_norm_factor(double squares, int warp, int warps, double* meeting, int columns,
                                                      float epsilon, const Meet& meet) noexcept {
  const double share = 1.0 / columns;
  squares = sum_warp(squares);
  if (thread_index() % warp_size == 0) meeting[warp] = squares;
  meet();
  double parts[4] = {0.0, 0.0, 0.0, 0.0};
  for (int i = 0; i < warps; i += 4) PLANISH_UNROLL
  for (int j = 0; j < 4; ++j) parts[j] += meeting[i + j];
  return quick_norm_factor((parts[0] + parts[1]) + (parts[2] + parts[3]), share, columns, epsilon);
}

/// The prologue of a token that lies in its stage, by the threads of its warpgroups.
template <class Size, Prologue Before>
PLANISH_DEVICE void apply_prologue(const KroneckerArguments& a, int thread, int barrier, double* meeting,
                                   unsigned char* stage) noexcept {
  using E = typename Size::Type;
  const int n1 = a.factors.n1;
  constexpr int all = Size::stage_bytes / 16, turns = (all + Size::token_threads - 1) / Size::token_threads;
  static_assert(all % Size::token_threads == 0);
  const auto at = [=](int byte) { return reinterpret_cast<Vector16*>(stage + byte); };
  if constexpr (Before == Prologue::swiglu) {
    PLANISH_NO_UNROLL
    for (int i = thread; i < all; i += Size::token_threads) {
      const RowPiece piece = piece_of_stage<Size>(i, n1);
      if (piece.there) *at(piece.byte) = gated_rounded<E>(*at(piece.byte), *at(piece.byte + Size::stage_bytes));
    }
  } else {
    constexpr int together = turns < 4 ? turns : 4;  // that registers hold
    Vector16 kept[together];
    const auto load = [&](int first) {
      PLANISH_UNROLL
      for (int i = 0; i < together; ++i) {
        kept[i] = Vector16{{0, 0, 0, 0}};
        if (turns % together == 0 || first + i < turns)
          kept[i] = *at((thread + (first + i) * Size::token_threads) * 16);
      }
    };
    double squares = 0.0;
    PLANISH_NO_UNROLL
    for (int first = 0; first < turns; first += together) {
      load(first);
      PLANISH_UNROLL
      for (int i = 0; i < together; ++i) squares = add_squares<E>(kept[i], squares);  // padding is zero
    }
    const float factor = joined_norm_factor(squares, thread / warp_size, Size::warps, meeting, n1 * Size::columns,
                                            a.prologue.epsilon, [=] { group_barrier(barrier, Size::token_threads); });
    PLANISH_NO_UNROLL
    for (int first = 0; first < turns; first += together) {
      if (turns > together) load(first);
      PLANISH_UNROLL
      for (int i = 0; i < together; ++i) {
        if (turns % together != 0 && first + i >= turns) break;
        const RowPiece piece = piece_of_stage<Size>(thread + (first + i) * Size::token_threads, n1);
        if (piece.there)
          *at(piece.byte) =
              normed<E>(kept[i], factor, a.prologue.gain == nullptr ? nullptr : a.prologue.gain + piece.element);
      }
    }
  }
}

/// Brings the one token of a block through its prologue, by all of its threads, Size::most_threads: those of a row and
/// of the row beside it that a thread asks for are those that it computes.
template <class Size, Prologue Before>
PLANISH_DEVICE void fetch_through_prologue(const KroneckerArguments& a, std::int64_t token, double* meeting,
                                           unsigned char* stage) noexcept {
  using E = typename Size::Type;
  constexpr int threads = Size::most_threads, most = Size::left_steps * 16 * Size::columns / 8;
  constexpr int turns = (most + threads - 1) / threads;
  const int n1 = a.factors.n1, all = n1 * Size::columns / 8;
  const E* const row = static_cast<const E*>(a.x) + token * a.row_stride;
  if constexpr (Before == Prologue::swiglu) {
    const E* const up = static_cast<const E*>(a.prologue.up) + token * a.prologue.up_stride;
    PLANISH_NO_UNROLL
    for (int i = thread_index(); i < all; i += threads) {
      const RowPiece piece = piece_of_row<Size>(i);
      copy_async_16(stage + piece.byte, row + piece.element, 16);
      copy_async_16(stage + piece.byte + Size::stage_bytes, up + piece.element, 16);
    }
    commit_copies();
    wait_copies<0>();
    PLANISH_NO_UNROLL
    for (int i = thread_index(); i < all; i += threads) {
      auto* const place = reinterpret_cast<Vector16*>(stage + piece_of_row<Size>(i).byte);
      *place = gated_rounded<E>(*place, place[Size::stage_bytes / 16]);
    }
  } else {
    Vector16 kept[turns];
    double squares = 0.0;
    PLANISH_UNROLL
    for (int i = 0; i < turns; ++i) {
      kept[i] = Vector16{{0, 0, 0, 0}};
      const int at = thread_index() + i * threads;
      if (at < all) kept[i] = *reinterpret_cast<const Vector16*>(row + 8 * at);
    }
    PLANISH_UNROLL
    for (int i = 0; i < turns; ++i) squares = add_squares<E>(kept[i], squares);
    const float factor = joined_norm_factor(squares, thread_index() / warp_size, threads / warp_size, meeting,
                                            n1 * Size::columns, a.prologue.epsilon, [] { block_barrier(); });
    PLANISH_UNROLL
    for (int i = 0; i < turns; ++i) {
      const int at = thread_index() + i * threads;
      if (at >= all) break;
      *reinterpret_cast<Vector16*>(stage + piece_of_row<Size>(at).byte) =
          normed<E>(kept[i], factor, a.prologue.gain == nullptr ? nullptr : a.prologue.gain + 8 * at);
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
