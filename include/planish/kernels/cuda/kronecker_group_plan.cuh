#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/kronecker_groups.cuh>
#include <planish/kernels/cuda/tensor_map.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The sizes compiled for products of warpgroups, by the most rows and the columns of M.
enum class KroneckerGroupPath : std::uint8_t {
  none,
  rows64_columns64,
  rows64_columns80,
  rows64_columns128,
  rows112_columns128,
  rows128_columns128,
  rows128_columns224,
};

namespace detail {
template <class E, KroneckerGroupPath Path>
struct GroupSizeOf;
template <class E>
struct GroupSizeOf<E, KroneckerGroupPath::rows64_columns64> : KroneckerGroupSize<E, 1, 4, 64, 640, false> {};
template <class E>
struct GroupSizeOf<E, KroneckerGroupPath::rows64_columns80> : KroneckerGroupSize<E, 1, 4, 80, 512, true> {};
template <class E>
struct GroupSizeOf<E, KroneckerGroupPath::rows64_columns128> : KroneckerGroupSize<E, 1, 4, 128, 512, false> {};
template <class E>
struct GroupSizeOf<E, KroneckerGroupPath::rows112_columns128> : KroneckerGroupSize<E, 2, 7, 128, 512, false> {};
template <class E>
struct GroupSizeOf<E, KroneckerGroupPath::rows128_columns128> : KroneckerGroupSize<E, 2, 8, 128, 512, false> {};
template <class E>
struct GroupSizeOf<E, KroneckerGroupPath::rows128_columns224> : KroneckerGroupSize<E, 2, 8, 224, 256, true> {};

/// Calls f with the compiled size of a path other than `none`.
template <class E, class F>
constexpr auto with_group_size(KroneckerGroupPath path, F&& f) noexcept {
  switch (path) {
    case KroneckerGroupPath::rows64_columns64:
      return f(GroupSizeOf<E, KroneckerGroupPath::rows64_columns64>{});
    case KroneckerGroupPath::rows64_columns80:
      return f(GroupSizeOf<E, KroneckerGroupPath::rows64_columns80>{});
    case KroneckerGroupPath::rows64_columns128:
      return f(GroupSizeOf<E, KroneckerGroupPath::rows64_columns128>{});
    case KroneckerGroupPath::rows112_columns128:
      return f(GroupSizeOf<E, KroneckerGroupPath::rows112_columns128>{});
    case KroneckerGroupPath::rows128_columns128:
      return f(GroupSizeOf<E, KroneckerGroupPath::rows128_columns128>{});
    default:
      return f(GroupSizeOf<E, KroneckerGroupPath::rows128_columns224>{});
  }
}

/// The size for n1 × n2; `none` where no compiled size has those columns, or most of its rows would be padding.
[[nodiscard]] constexpr KroneckerGroupPath kronecker_group_path(int n1, int n2) noexcept {
  if (n1 <= 32 || n1 > 128) return KroneckerGroupPath::none;
  if (n1 <= 64 && n2 == 64) return KroneckerGroupPath::rows64_columns64;
  if (n1 <= 64 && n2 == 80) return KroneckerGroupPath::rows64_columns80;
  if (n1 > 64 && n2 == 224) return KroneckerGroupPath::rows128_columns224;
  if (n2 != 128) return KroneckerGroupPath::none;
  if (n1 <= 64) return KroneckerGroupPath::rows64_columns128;
  return n1 <= 112 ? KroneckerGroupPath::rows112_columns128 : KroneckerGroupPath::rows128_columns128;
}
}  // namespace detail

/// The rows as the copy engine reads them: becomes a kernel's argument where one is launched. `columns`: bytes of a
/// box; `up`: those beside x.
struct KroneckerTokenMap {
  void* encode;
  const KroneckerArguments& a;
  int rows, columns;
  bool up = false;

  [[nodiscard]] bool describe(TensorMap& map) const noexcept {
    const index row_bytes = 2 * index{a.factors.n2};
    const index distance = rows > 1 ? 2 * (up ? a.prologue.up_stride : a.row_stride) : a.factors.n1 * row_bytes;
    return describe_matrices(encode, {{up ? a.prologue.up : a.x, a.factors.n1, row_bytes, row_bytes}, rows, distance},
                             columns, a.factors.n1, map);
  }
  explicit operator TensorMap() const noexcept {
    TensorMap map = {};
    if (columns > 0) static_cast<void>(describe(map));  // `check` has refused what cannot be described
    return map;
  }
};

/// The compiled size for n1 × n2 behind a prologue; `none` where there is none.
[[nodiscard]] constexpr KroneckerGroupPath prologue_group_path(int n1, int n2) noexcept {
  const KroneckerGroupPath path = detail::kronecker_group_path(n1, n2);
  return path == KroneckerGroupPath::rows128_columns224 ? KroneckerGroupPath::none : path;
}

/// Calls f with the compiled size of a path behind a prologue.
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

/// How a block of the kernel for `path` shares `rows` tokens, and its launch; no blocks where a stage does not fit.
[[nodiscard]] inline LaunchShape launch_kronecker_groups(KroneckerGroupPath path, int rows, KroneckerSharing& s,
                                                         const DeviceCapabilities& device) noexcept {
  return detail::with_group_size<BFloat16>(path, [&](auto size) -> LaunchShape {
    const int multiprocessors = device.multiprocessors > 0 ? device.multiprocessors : 1;
    s.group_threads = size.token_threads;
    s.groups = size.most_threads / size.token_threads;  // those without a token help with the factors
    s.stages = 2;
    const auto bytes = [&] { return group_shared_bytes<decltype(size)>(s.prologue, s.groups, s.stages); };
    if (s.prologue == Prologue::swiglu && bytes() > device.shared_bytes) s.stages = 1;
    while (bytes() > device.shared_bytes && s.groups > 1) --s.groups;
    if (bytes() > device.shared_bytes) return {};
    const int threads = s.groups * s.group_threads;
    s.few = rows <= multiprocessors && (s.prologue == Prologue::none || threads == size.most_threads);
    return {rows < multiprocessors ? rows : multiprocessors, threads, bytes()};
  });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
