#pragma once
// Transforms with a prologue on the products of warpgroups (sm_90a): rows come in the background, every thread computes
// the prologue of the pieces that it fetched itself, and from there on it is kronecker_groups.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/kronecker_group_plan.cuh>
#include <planish/kernels/cuda/kronecker_groups.cuh>
#include <planish/kernels/cuda/row_prologue.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Where the warps of a token meet: their ranges, later their sums, and the sums of a norm.
struct PrologueMeeting {
  RangeSoFar ranges[16];
  double squares[16];
};

/// Threads of a block, at most: with more, a prologue would lack registers.
template <class Size>
inline constexpr int prologue_threads = Size::most_threads < 512 ? Size::most_threads : 512;

/// Shared memory of a block from the next multiple of 1024 bytes on: R, of every token at work two stages and one
/// of SwiGLU's up, and the meetings.
template <class Size>
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int prologue_ring_bytes(Prologue prologue) noexcept {
  return (prologue == Prologue::swiglu ? 3 : 2) * Size::chunks * Size::chunk_bytes;
}
template <class Size>
[[nodiscard]] constexpr int prologue_shared_bytes(Prologue prologue, int groups) noexcept {
  return 1024 + Size::right_bytes +
         groups * (prologue_ring_bytes<Size>(prologue) + static_cast<int>(sizeof(PrologueMeeting)));
}

/// Calls f(piece, its byte in a stage) for a thread's own pieces of 16 bytes of a token.
template <class Size, class F>
PLANISH_DEVICE void for_group_pieces(int n1, int thread, const F& work) noexcept {
  constexpr int across = Size::columns / 8;
  PLANISH_NO_UNROLL  // addresses that outlive the loop would cost registers
      for (int i = thread; i < n1 * across; i += Size::token_threads) {
    const int r = i / across, c = i % across;
    work(i, c / 8 * Size::chunk_bytes + exchanged_offset(r, c % 8 * 16));
  }
}

/// Computes the prologue of a token in its stage, as far as this thread fetched it.
template <class Size, Prologue Before>
PLANISH_DEVICE void apply_prologue(const KroneckerArguments& a, int thread, int barrier, double* meeting,
                                   unsigned char* stage, const unsigned char* up) noexcept {
  using E = typename Size::Type;
  const int n1 = a.factors.n1;
  const auto at = [](auto* memory, int byte) {
    using Piece =
        std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(memory)>>, const Vector16, Vector16>;
    return reinterpret_cast<Piece*>(memory + byte);
  };
  if constexpr (Before == Prologue::swiglu) {
    for_group_pieces<Size>(n1, thread,
                           [&](int, int byte) { *at(stage, byte) = gated<E>(*at(stage, byte), *at(up, byte)); });
  } else {
    double squares = 0.0;
    for_group_pieces<Size>(n1, thread, [&](int, int byte) { squares = add_squares<E>(*at(stage, byte), squares); });
    squares = sum_group(squares, thread, Size::token_threads, barrier, meeting);
    const int n = n1 * Size::columns;
    const float factor = quick_norm_factor(squares, 1.0 / n, n, a.prologue.epsilon);
    for_group_pieces<Size>(n1, thread, [&](int i, int byte) {
      *at(stage, byte) =
          normed<E>(*at(stage, byte), factor, a.prologue.gain == nullptr ? nullptr : a.prologue.gain + 8 * i);
    });
  }
}

/// Persistent blocks, tokens dealt as by kronecker_rows.
template <class Size, Prologue Before>
PLANISH_KERNEL(prologue_threads<Size>, 1)
kronecker_groups_behind(KroneckerArguments a, KroneckerSharing s, int rows) {
#if !defined(__CUDA_ARCH__) || defined(PLANISH_HAS_GROUP_PRODUCTS)
  using E = typename Size::Type;
  const int n1 = a.factors.n1, group = thread_index() / Size::token_threads;
  const int thread = thread_index() % Size::token_threads, warp = thread / warp_size;
  constexpr int warps = Size::token_threads / warp_size, stage_bytes = Size::chunks * Size::chunk_bytes;
  constexpr int ring_bytes = prologue_ring_bytes<Size>(Before);
  unsigned char* const right =
      shared_memory() + (1024 - reinterpret_cast<std::uintptr_t>(shared_memory()) % 1024) % 1024;
  unsigned char* const rings = right + Size::right_bytes;
  unsigned char* const ring = rings + group * ring_bytes;
  unsigned char* const up = ring + 2 * stage_bytes;
  auto& meeting = reinterpret_cast<PrologueMeeting*>(rings + s.groups * ring_bytes)[group];
  // Rows of M beyond n1 are zero from here on.
  const int beyond = 16 * Size::left_steps - n1;
  for (int i = thread; i < 2 * Size::chunks * beyond * 8; i += Size::token_threads) {
    const int chunk = i / 8 / beyond;
    *reinterpret_cast<Vector16*>(ring + chunk * Size::chunk_bytes + n1 * 128 + (i - chunk * 8 * beyond) * 16) =
        Vector16{{0, 0, 0, 0}};
  }
  const std::int64_t tokens_on = std::int64_t{block_count()} * s.groups;
  const std::int64_t first = std::int64_t{block_index()} * s.groups + group;
  const auto fetch = [&](std::int64_t token, int stage) {
    if (token < rows) {
      const auto* const row = reinterpret_cast<const unsigned char*>(static_cast<const E*>(a.x) + token * a.row_stride);
      for_group_pieces<Size>(
          n1, thread, [&](int i, int byte) { copy_async_16(ring + stage * stage_bytes + byte, row + 16 * i, 16); });
      if constexpr (Before == Prologue::swiglu) {
        const auto* const other =
            reinterpret_cast<const unsigned char*>(static_cast<const E*>(a.prologue.up) + token * a.prologue.up_stride);
        for_group_pieces<Size>(n1, thread, [&](int i, int byte) { copy_async_16(up + byte, other + 16 * i, 16); });
      }
    }
    commit_copies();
  };
  // In shared memory Lᵀ would take the room of a token. Wide ones read it again for every token, and have registers.
  using Left = GroupLeft<Size, true>;
  constexpr bool keeps_left = Size::columns < 128;
  [[maybe_unused]] const Left kept(a.factors, warp, nullptr);
  spread_right<Size>(a.factors, s.groups * Size::token_threads, right);
  wait_for_kernel_before();  // factors are older
  let_next_kernel_start();
  fetch(first, 0);
  publish_to_products();
  block_barrier();

  int stage = 0;
  PLANISH_NO_UNROLL
  for (std::int64_t token = first; token < rows; token += tokens_on, stage ^= 1) {
    wait_copies<0>();
    apply_prologue<Size, Before>(a, thread, 1 + group, meeting.squares, ring + stage * stage_bytes, up);
    publish_to_products();
    group_barrier(1 + group, Size::token_threads);  // this token is whole, and nobody still reads the one before
    fetch(token + tokens_on, stage ^ 1);
    float sums[Size::columns / 2];
    if constexpr (keeps_left)
      transform_rows<Size>(kept, ring + stage * stage_bytes, right, sums);
    else
      transform_rows<Size>(Left(a.factors, warp, nullptr), ring + stage * stage_bytes, right, sums);

    if (a.y != nullptr) {
      store_group_values<Size>(sums, a.factor, 16 * warp, n1, static_cast<std::uint16_t*>(a.y) + token * a.y_stride);
      warp_barrier();  // products need whole warps
      continue;
    }
    RangeSoFar range;
    PLANISH_UNROLL
    for (int i = 0; i < Size::columns / 2; ++i) range.add(sums[i]);
    range = join_warp(range);
    if (thread % warp_size == 0) meeting.ranges[warp] = range;
    group_barrier(1 + group, Size::token_threads);
    range = meeting.ranges[0];
    PLANISH_UNROLL
    for (int i = 1; i < warps; ++i) range.join(meeting.ranges[i]);
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
    int sum = cut ? store_group_codes<Size, true, true>(coder, sums, 16 * warp, n1, s.form, out)
                  : store_group_codes<Size, false, true>(coder, sums, 16 * warp, n1, s.form, out);
    if (s.form == CodeForm::bytes)
      for (int i = n1 * Size::columns + thread; i < static_cast<int>(a.out.stride); i += Size::token_threads)
        out[i] = 0;
    if (a.out.sums != nullptr) {
      group_barrier(1 + group, Size::token_threads);
      sum = sum_warp(sum);
      auto* const parts = reinterpret_cast<int*>(meeting.ranges);
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
#endif
}

/// The compiled size for n1 × n2 behind a prologue; `none` where there is none.
[[nodiscard]] constexpr KroneckerGroupPath prologue_group_path(int n1, int n2) noexcept {
  const KroneckerGroupPath path = detail::kronecker_group_path(n1, n2);
  return path == KroneckerGroupPath::rows128_columns224 ? KroneckerGroupPath::none : path;
}

/// Calls f with the compiled size of a path.
template <class E, class F>
constexpr auto with_prologue_size(KroneckerGroupPath path, F&& f) noexcept {
  switch (path) {
    case KroneckerGroupPath::rows64_columns64:
      return f(detail::GroupSizeOf<E, KroneckerGroupPath::rows64_columns64>{});
    case KroneckerGroupPath::rows64_columns80:
      return f(detail::GroupSizeOf<E, KroneckerGroupPath::rows64_columns80>{});
    case KroneckerGroupPath::rows64_columns128:
      return f(detail::GroupSizeOf<E, KroneckerGroupPath::rows64_columns128>{});
    case KroneckerGroupPath::rows112_columns128:
      return f(detail::GroupSizeOf<E, KroneckerGroupPath::rows112_columns128>{});
    default:
      return f(detail::GroupSizeOf<E, KroneckerGroupPath::rows128_columns128>{});
  }
}

/// How a block shares `rows` tokens, and its launch; no blocks where one does not fit.
[[nodiscard]] inline LaunchShape launch_behind(KroneckerGroupPath path, int rows, KroneckerSharing& s,
                                               const DeviceCapabilities& device) noexcept {
  return with_prologue_size<BFloat16>(path, [&](auto size) -> LaunchShape {
    using Size = decltype(size);
    const int multiprocessors = device.multiprocessors > 0 ? device.multiprocessors : 1;
    const int share = (rows + multiprocessors - 1) / multiprocessors;  // tokens of a block
    s.group_threads = Size::token_threads;
    s.stages = 2;
    s.groups = prologue_threads<Size> / Size::token_threads;
    if (s.groups > share) s.groups = share > 0 ? share : 1;
    while (s.groups > 1 && prologue_shared_bytes<Size>(s.prologue, s.groups) > device.shared_bytes) --s.groups;
    const int bytes = prologue_shared_bytes<Size>(s.prologue, s.groups), blocks = (rows + s.groups - 1) / s.groups;
    if (bytes > device.shared_bytes) return {};
    return {blocks < multiprocessors ? blocks : multiprocessors, s.groups * s.group_threads, bytes};
  });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
