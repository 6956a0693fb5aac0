#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/kronecker_exact.cuh>
#include <planish/kernels/cuda/kronecker_group_plan.cuh>
#include <planish/kernels/cuda/kronecker_rows.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// What is known of a transform before its data. `background`: rows are 16-bit elements of the factors' type, begin on
/// multiples of 16 bytes, and n2 is a multiple of 8, so that they may be fetched while others are worked on.
struct KroneckerShape {
  int rows = 0, n1 = 0, n2 = 0;
  ElementType input = ElementType::bfloat16;
  ElementType arithmetic = ElementType::bfloat16;  // or half: matrix units; float32: exact
  CodeForm form = CodeForm::bytes;
  bool background = true;
  bool groups = true;                  // of warpgroups, where device and size have them
  Prologue prologue = Prologue::none;  // what x meets first
  bool early = false;                  // the factors are older than the kernel in front in the stream: see LaunchShape
};

/// The compiled sizes, by the most rows and columns of M.
enum class KroneckerPath : std::uint8_t {
  rows64_columns64,
  rows64_columns64_whole,
  rows64_columns128,
  rows64_columns128_whole,
  rows128_columns128,
  rows128_columns128_whole,
  rows128_columns256,
  rows128_columns224_whole,
  rows256_columns128,
  rows160_columns256,
  exact,
};

struct KroneckerPlan {
  KroneckerShape shape;
  KroneckerPath path = KroneckerPath::exact;
  KroneckerGroupPath group_path = KroneckerGroupPath::none;  // in its place where there is one
  KroneckerSharing sharing;
  LaunchShape launch;
  void* encode_rows = nullptr;  // of the products of warpgroups: cuTensorMapEncodeTiled

  [[nodiscard]] constexpr const char* describe() const noexcept {
    if (path == KroneckerPath::exact) return "float32, sums in the order of the reference";
    if (group_path != KroneckerGroupPath::none) return "wgmma of 16-bit floats, rows fetched in the background";
    return sharing.background ? "mma.sync of 16-bit floats, rows fetched in the background"
                              : "mma.sync of 16-bit floats, rows converted on the way";
  }
};

namespace detail {
template <class E, KroneckerPath Path>
struct SizeOf;
template <class E>
struct SizeOf<E, KroneckerPath::rows64_columns64> : KroneckerSize<E, 4, 8, 2, 384, true, false> {};
template <class E>
struct SizeOf<E, KroneckerPath::rows64_columns64_whole> : KroneckerSize<E, 4, 8, 2, 384, true, true> {};
template <class E>
struct SizeOf<E, KroneckerPath::rows64_columns128> : KroneckerSize<E, 4, 16, 2, 256, true, false> {};
template <class E>
struct SizeOf<E, KroneckerPath::rows64_columns128_whole> : KroneckerSize<E, 4, 16, 2, 256, true, true> {};
template <class E>
struct SizeOf<E, KroneckerPath::rows128_columns128> : KroneckerSize<E, 8, 16, 2, 256, true, false> {};
template <class E>
struct SizeOf<E, KroneckerPath::rows128_columns128_whole> : KroneckerSize<E, 8, 16, 2, 256, true, true> {};
template <class E>
struct SizeOf<E, KroneckerPath::rows128_columns256> : KroneckerSize<E, 8, 32, 1, 256, true, false> {};
template <class E>
struct SizeOf<E, KroneckerPath::rows128_columns224_whole> : KroneckerSize<E, 8, 28, 1, 256, true, true> {};
template <class E>
struct SizeOf<E, KroneckerPath::rows256_columns128> : KroneckerSize<E, 16, 16, 1, 512, false, false> {};
template <class E>
struct SizeOf<E, KroneckerPath::rows160_columns256> : KroneckerSize<E, 10, 32, 1, 320, false, false> {};

/// Calls f with the compiled size of a path.
template <class E, class F>
constexpr auto with_kronecker_size(KroneckerPath path, F&& f) noexcept {
  switch (path) {
    case KroneckerPath::rows64_columns64:
      return f(SizeOf<E, KroneckerPath::rows64_columns64>{});
    case KroneckerPath::rows64_columns64_whole:
      return f(SizeOf<E, KroneckerPath::rows64_columns64_whole>{});
    case KroneckerPath::rows64_columns128:
      return f(SizeOf<E, KroneckerPath::rows64_columns128>{});
    case KroneckerPath::rows64_columns128_whole:
      return f(SizeOf<E, KroneckerPath::rows64_columns128_whole>{});
    case KroneckerPath::rows128_columns128:
      return f(SizeOf<E, KroneckerPath::rows128_columns128>{});
    case KroneckerPath::rows128_columns128_whole:
      return f(SizeOf<E, KroneckerPath::rows128_columns128_whole>{});
    case KroneckerPath::rows128_columns256:
      return f(SizeOf<E, KroneckerPath::rows128_columns256>{});
    case KroneckerPath::rows128_columns224_whole:
      return f(SizeOf<E, KroneckerPath::rows128_columns224_whole>{});
    case KroneckerPath::rows256_columns128:
      return f(SizeOf<E, KroneckerPath::rows256_columns128>{});
    default:
      return f(SizeOf<E, KroneckerPath::rows160_columns256>{});
  }
}

/// The smallest compiled size that holds n1 × n2; `exact` if none does.
[[nodiscard]] constexpr KroneckerPath kronecker_path(int n1, int n2) noexcept {
  const int columns = sixteens(n2) * 16;
  if (n1 <= 64 && columns <= 64)
    return n2 == 64 ? KroneckerPath::rows64_columns64_whole : KroneckerPath::rows64_columns64;
  if (n1 <= 64 && columns <= 128)
    return n2 == 128 ? KroneckerPath::rows64_columns128_whole : KroneckerPath::rows64_columns128;
  if (n1 <= 128 && columns <= 128)
    return n2 == 128 ? KroneckerPath::rows128_columns128_whole : KroneckerPath::rows128_columns128;
  if (n1 <= 128 && columns <= 256)
    return n2 == 224 ? KroneckerPath::rows128_columns224_whole : KroneckerPath::rows128_columns256;
  if (n1 <= 256 && columns <= 128) return KroneckerPath::rows256_columns128;
  if (n1 <= 160 && columns <= 256) return KroneckerPath::rows160_columns256;
  return KroneckerPath::exact;
}
}  // namespace detail

/// The plan for a shape. Errors: sizes out of range, sizes that matrix units do not take (float32 arithmetic does).
[[nodiscard]] inline Result<KroneckerPlan> plan_kronecker(const KroneckerShape& shape,
                                                          const DeviceCapabilities& device) noexcept {
  const int n1 = shape.n1, n2 = shape.n2;
  if (shape.rows < 0) return Status(ErrorCode::invalid_argument, "a Kronecker transform of ", shape.rows, " rows");
  if (n1 < 1 || n2 < 1 || n1 > exact_most || n2 > exact_most / n1)
    return Status(ErrorCode::unsupported, "a Kronecker transform of ", n1, " x ", n2, ": a row has 1 to ", exact_most,
                  " elements");
  KroneckerPlan plan;
  plan.shape = shape;
  const bool early = shape.early && device.major >= 9;
  plan.sharing.early = early;
  if (shape.arithmetic == ElementType::float32) {
    plan.launch = {shape.rows, exact_threads, static_cast<int>(32 * sizeof(RangeSoFar)) + (n1 * n2 + 4) * 4, 1, early};
    if (plan.launch.shared_bytes > device.shared_bytes)
      return Status(ErrorCode::unsupported, "a Kronecker transform of ", n1, " x ", n2, " needs ",
                    plan.launch.shared_bytes, " bytes of shared memory, the device gives ", device.shared_bytes);
    return plan;
  }
  if (shape.arithmetic == ElementType::int32 || !device.has_matrix_units())
    return Status(ErrorCode::unsupported, "matrix units of 16-bit floats need compute capability 8.0 and factors of ",
                  "bfloat16 or half");
  plan.path = detail::kronecker_path(n1, n2);
  if (plan.path == KroneckerPath::exact || n1 > 256 || n2 > 256)
    return Status(ErrorCode::unsupported, "a Kronecker transform of ", n1, " x ", n2,
                  " has no kernel on matrix units; plan it with float32 arithmetic");
  const int row_tiles = detail::with_kronecker_size<BFloat16>(plan.path, [](auto size) { return size.row_tiles; });
  const int most_threads =
      detail::with_kronecker_size<BFloat16>(plan.path, [](auto size) { return size.most_threads; });
  KroneckerSharing& s = plan.sharing;
  s.input = shape.input;
  s.form = shape.form;
  s.background = shape.background && shape.input == shape.arithmetic && n2 % 8 == 0;
  s.prologue = shape.prologue;
  s.share = 1.0 / (n1 * n2);
  if (shape.groups && s.background && device.group_products && device.encode_rows != nullptr) {
    plan.encode_rows = device.encode_rows;
    plan.group_path =
        shape.prologue == Prologue::none ? detail::kronecker_group_path(n1, n2) : prologue_group_path(n1, n2);
    if (plan.group_path != KroneckerGroupPath::none)
      plan.launch = launch_kronecker_groups(plan.group_path, shape.rows, s, device);
    plan.launch.early = early;
    if (plan.launch.shared_bytes > 0) return plan;
    plan.group_path = KroneckerGroupPath::none;
  }
  s.group_threads = warp_size * ((sixteens(n1) + row_tiles - 1) / row_tiles);
  s.groups = most_threads / s.group_threads;
  const int multiprocessors = device.multiprocessors > 0 ? device.multiprocessors : 1;
  const int share = (shape.rows + multiprocessors - 1) / multiprocessors;  // tokens of a block
  if (s.groups > share) s.groups = share > 0 ? share : 1;
  if (s.groups > 15) s.groups = 15;  // barriers
  const auto needs = [&] {
    const int beside = kronecker_beside_bytes(n1, n2, s.prologue, s.background ? s.stages - 1 : 0);
    return kronecker_shared_bytes(n1, n2, s.groups, s.stages, beside);
  };
  const auto fits = [&] { return needs() <= device.shared_bytes; };
  s.stages = 3;
  if (!fits()) s.stages = 2;
  while (!fits() && s.groups > 1) --s.groups;
  if (!fits()) s.background = s.background && s.prologue != Prologue::swiglu;  // two rows converted on the way
  if (!fits())
    return Status(ErrorCode::unsupported, "a Kronecker transform of ", n1, " x ", n2, " needs ", needs(),
                  " bytes of shared memory, the device gives ", device.shared_bytes,
                  "; plan it with float32 arithmetic");
  s.workers = s.prologue != Prologue::none && shape.rows <= multiprocessors ? most_threads : s.group_threads;
  const int blocks = (shape.rows + s.groups - 1) / s.groups;
  plan.launch = {blocks < multiprocessors ? blocks : multiprocessors, s.groups * s.workers, needs(), 1, early};
  return plan;
}

/// Calls `run(kernel, launch shape, kernel arguments...)` with the kernel of a plan.
template <class Run>
Status dispatch(const KroneckerPlan& plan, const KroneckerArguments& a, Run&& run) noexcept {
  if (plan.launch.blocks == 0) return {};
  const KroneckerTokenMap whole{plan.encode_rows, a, plan.shape.rows, 128};
  if (plan.group_path != KroneckerGroupPath::none && plan.shape.prologue != Prologue::none) {
    const bool gates = plan.shape.prologue == Prologue::swiglu;
    const auto with = [&](auto size) {
      using Size = decltype(size);
      return run(gates ? kronecker_groups<Size, Prologue::swiglu> : kronecker_groups<Size, Prologue::rms_norm>,
                 plan.launch, a, whole, KroneckerTokenMap{plan.encode_rows, a, plan.shape.rows, gates ? 128 : 0, true},
                 plan.sharing, plan.shape.rows);
    };
    return plan.shape.arithmetic == ElementType::bfloat16 ? with_prologue_size<BFloat16>(plan.group_path, with)
                                                          : with_prologue_size<Half>(plan.group_path, with);
  }
  if (plan.group_path != KroneckerGroupPath::none) {
    const auto with = [&](auto size) {
      return run(kronecker_groups<decltype(size)>, plan.launch, a, whole,
                 KroneckerTokenMap{plan.encode_rows, a, plan.shape.rows, size.narrow ? 64 : 0}, plan.sharing,
                 plan.shape.rows);
    };
    return plan.shape.arithmetic == ElementType::bfloat16 ? detail::with_group_size<BFloat16>(plan.group_path, with)
                                                          : detail::with_group_size<Half>(plan.group_path, with);
  }
  const auto with = [&](auto size) {
    using Size = decltype(size);
    return run(plan.shape.prologue == Prologue::none ? kronecker_rows<Size, false> : kronecker_rows<Size, true>,
               plan.launch, a, plan.sharing, plan.shape.rows);
  };
  return plan.shape.arithmetic == ElementType::bfloat16 ? detail::with_kronecker_size<BFloat16>(plan.path, with)
                                                        : detail::with_kronecker_size<Half>(plan.path, with);
}
template <class Run>
Status dispatch(const KroneckerPlan& plan, const ExactArguments& a, Run&& run) noexcept {
  if (plan.launch.blocks == 0) return {};
  return run(kronecker_exact<>, plan.launch, a, plan.shape.input, plan.shape.form, plan.shape.prologue);
}

namespace detail {
template <class Arguments>
[[nodiscard]] Status check_transform(const KroneckerPlan& plan, const Arguments& a) noexcept {
  const KroneckerShape& s = plan.shape;
  if (a.factors.n1 != s.n1 || a.factors.n2 != s.n2)
    return {ErrorCode::shape_mismatch,
            "the transform was planned for ",
            s.n1,
            " x ",
            s.n2,
            ", not ",
            a.factors.n1,
            " x ",
            a.factors.n2};
  if (Status status = check_prologue(s.prologue, a.prologue, plan.sharing.background); !status.ok()) return status;
  if (a.y != nullptr) return {};
  return check(QuantizePlan{{s.rows, s.n1 * s.n2, s.input, s.form}, 0, {}},
               QuantizeArguments{a.x, a.row_stride, a.quantizer, a.out, a.bad_rows});
}
}  // namespace detail

/// Whether arguments are of the planned shape, arithmetic and alignment.
[[nodiscard]] inline Status check(const KroneckerPlan& plan, const KroneckerArguments& a) noexcept {
  if (plan.path == KroneckerPath::exact || a.factors.type != plan.shape.arithmetic)
    return {ErrorCode::invalid_argument, "the transform was planned for factors of ",
            element_name(plan.shape.arithmetic)};
  if (a.prologue.offset != nullptr || a.prologue.scale != nullptr)
    return {ErrorCode::unsupported, "offsets and scales of columns before a transform need float32 arithmetic"};
  if (plan.sharing.background && (reinterpret_cast<std::uintptr_t>(a.x) % 16 != 0 || a.row_stride % 8 != 0))
    return {ErrorCode::invalid_argument, "rows to fetch in the background must begin on multiples of 16 bytes"};
  if (a.y == nullptr && plan.shape.form == CodeForm::nibbles && a.out.stride % 8 != 0)
    return {ErrorCode::invalid_argument, "rows of nibbles must lie a multiple of 8 bytes apart, not ", a.out.stride};
  if (reinterpret_cast<std::uintptr_t>(a.factors.panels) % 16 != 0)
    return {ErrorCode::invalid_argument, "panels of factors must lie on a multiple of 16 bytes"};
  if (Status status = detail::check_transform(plan, a); !status.ok()) return status;
  for (const bool up : {false, true}) {
    if (plan.encode_rows == nullptr || plan.group_path == KroneckerGroupPath::none || plan.shape.rows == 0) break;
    TensorMap map;
    if ((!up || plan.shape.prologue == Prologue::swiglu) &&
        !KroneckerTokenMap{plan.encode_rows, a, plan.shape.rows, 128, up}.describe(map))
      return {ErrorCode::unsupported,
              "the driver refuses to describe ",
              plan.shape.rows,
              " rows of ",
              plan.shape.n1,
              " x ",
              plan.shape.n2,
              " that lie ",
              up ? a.prologue.up_stride : a.row_stride,
              " elements apart"};
  }
  return {};
}
[[nodiscard]] inline Status check(const KroneckerPlan& plan, const ExactArguments& a) noexcept {
  if (plan.path != KroneckerPath::exact)
    return {ErrorCode::invalid_argument, "the transform was planned for factors of ",
            element_name(plan.shape.arithmetic)};
  return detail::check_transform(plan, a);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
