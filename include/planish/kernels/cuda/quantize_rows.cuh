#pragma once
// Rows of activations to codes: a block per row, read once and kept in registers where it fits.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/row_codes.cuh>
#include <planish/kernels/cuda/row_vector.cuh>
#include <planish/packing/bit_packing.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Codes of the rows of x; every pointer is of device memory.
struct QuantizeArguments {
  const void* x = nullptr;      // rows × columns
  std::int64_t row_stride = 0;  // elements
  RowQuantizer quantizer{};
  QuantizedRowsSpan out;  // nibbles: `codes` are rows of `stride` bytes, of which those behind the codes stay
  std::int32_t* bad_rows = nullptr;  // rows with NaN or infinity are added here; null: not counted
};

/// What is known of a quantization before its data. `aligned`: every row of x begins on a multiple of 16 bytes.
struct QuantizeShape {
  int rows = 0, columns = 0;
  ElementType input = ElementType::bfloat16;
  CodeForm form = CodeForm::bytes;
  bool aligned = true;
  bool early = false;  // starts while the kernel in front in the stream ends: see LaunchShape
};

/// Threads of a block at most, and blocks that a multiprocessor must have registers for.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int quantize_threads(int held) noexcept {
  return held == 4 ? 1024 : held == 2 ? 32 : 512;
}
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int quantize_blocks(int held) noexcept {
  return held == 2 ? 32 : held == 8 ? 2 : 1;
}

/// What the warps of a block tell each other.
struct QuantizeMeeting {
  std::uint32_t highest[32], lowest[32];
  std::int32_t sums[32];
};

struct QuantizePlan {
  QuantizeShape shape;
  int held = 0;  // 16-byte vectors of a row that a thread keeps; 0: rows are read twice
  LaunchShape launch;

  [[nodiscard]] constexpr const char* describe() const noexcept {
    return held > 0 ? "a block per row, read once" : "a block per row, read twice";
  }
};

/// The plan for a shape. Errors: sizes out of range, an input that is not a float.
[[nodiscard]] inline Result<QuantizePlan> plan_quantize(const QuantizeShape& shape,
                                                        const DeviceCapabilities& device) noexcept {
  if (shape.rows < 0 || shape.columns < 0 || shape.columns > (1 << 26))
    return Status(ErrorCode::invalid_argument, "rows to quantize: ", shape.rows, " x ", shape.columns);
  if (shape.input == ElementType::int32) return Status(ErrorCode::invalid_argument, "int32 is not quantized");
  QuantizePlan plan;
  plan.shape = shape;
  const int lanes = 16 / element_bytes(shape.input), vectors = shape.columns / lanes;
  const auto threads_of = [=](int held) { return vectors > held ? (vectors + 32 * held - 1) / (32 * held) * 32 : 32; };
  // Many vectors a thread, so that the scale of a row costs little, but few where a multiprocessor has few rows.
  const bool few = shape.rows < 4 * device.multiprocessors;
  plan.held = vectors <= 64 ? 2 : vectors <= 128 || (few && threads_of(4) <= quantize_threads(4)) ? 4 : 8;
  if (threads_of(plan.held) > quantize_threads(plan.held) || !shape.aligned || shape.columns % lanes != 0)
    plan.held = 0;
  const int threads = plan.held > 0 ? threads_of(plan.held) : threads_of(4) < 512 ? threads_of(4) : 512;
  plan.launch = {shape.rows, threads, static_cast<int>(sizeof(QuantizeMeeting)), 1, shape.early && device.major >= 9};
  return plan;
}

/// Codes of the vectors that a thread keeps, their sum returned.
template <bool Cut, bool Shifted, class E, int Held>
PLANISH_DEVICE int store_kept(const RowCoder& coder, const RowVector<E> (&kept)[Held], int vectors, int threads,
                              CodeForm form, std::int8_t* out) noexcept {
  int sum = 0;
  PLANISH_UNROLL
  for (int i = 0; i < Held; ++i)
    if (const int at = thread_index() + i * threads; at < vectors)
      sum += store_whole_codes<Cut, Shifted>(coder, kept[i], at * RowVector<E>::lanes, form, out);
  return sum;
}

/// One row per block; Held: 16-byte vectors that a thread keeps, all of the row, or 0: it is read twice.
template <class E, int Held>
PLANISH_KERNEL(quantize_threads(Held), quantize_blocks(Held))
quantize_rows(QuantizeArguments a, CodeForm form, int columns, int threads) {
  let_next_kernel_start();
  constexpr int lanes = RowVector<E>::lanes;
  const int r = block_index(), warp = thread_index() / warp_size, warps = threads / warp_size;
  const E* row = static_cast<const E*>(a.x) + r * a.row_stride;
  [[maybe_unused]] const bool aligned = reinterpret_cast<std::uintptr_t>(row) % 16 == 0;
  std::int8_t* out = a.out.row(r);
  const int stride = static_cast<int>(a.out.stride), vectors = columns / lanes;
  const int step = threads * lanes, begin = thread_index() * lanes;
  auto& meeting = *reinterpret_cast<QuantizeMeeting*>(shared_memory());
  wait_for_kernel_before();

  VectorRange<E> part;
  RowVector<E> kept[Held > 0 ? Held : 1];
  if constexpr (Held > 0) {
    PLANISH_UNROLL
    for (int i = 0; i < Held; ++i) {
      kept[i] = {};
      if (const int at = thread_index() + i * threads; at < vectors)
        kept[i].bytes = reinterpret_cast<const Vector16*>(row)[at];
    }
    PLANISH_UNROLL
    for (int i = 0; i < Held; ++i) part.add(kept[i]);
  } else {
    for (int at = begin; at < columns; at += step) part.add(load_row_vector(row, at, columns, aligned));
  }
  RangeBits range = part.joined();
  if (warps > 1) {
    if (thread_index() % warp_size == 0) {
      meeting.highest[warp] = range.highest;
      meeting.lowest[warp] = range.lowest;
    }
    block_barrier();
    for (int i = 0; i < warps; ++i) range.join(meeting.highest[i], meeting.lowest[i]);
  }
  const RowCoder coder = RowCoder::make(range.values(), range.finite(), a.quantizer);

  int sum = 0;
  if constexpr (Held > 0) {
    if (coder.shifted)
      sum = store_kept<true, true>(coder, kept, vectors, threads, form, out);
    else if (!coder.usable || !coder.covers(range.values()))
      sum = store_kept<true, false>(coder, kept, vectors, threads, form, out);
    else
      sum = store_kept<false, false>(coder, kept, vectors, threads, form, out);
    if (form == CodeForm::bytes) {
      PLANISH_NO_UNROLL
      for (int at = columns + 4 * thread_index(); at < stride; at += 4 * threads)
        *reinterpret_cast<std::uint32_t*>(out + at) = 0;
    }
  } else {
    const int end = form == CodeForm::bytes ? stride : columns;
    for (int at = begin; at < end; at += step)
      sum += store_row_codes(coder, load_row_vector(row, at, columns, aligned), at, columns, form, out, stride);
  }
  if (a.out.sums != nullptr) {
    sum = sum_warp(sum);
    if (warps > 1) {
      if (thread_index() % warp_size == 0) meeting.sums[warp] = sum;
      block_barrier();
      sum = 0;
      if (thread_index() == 0)
        for (int i = 0; i < warps; ++i) sum += meeting.sums[i];
    }
  }
  if (thread_index() != 0) return;
  a.out.scales[r] = coder.affine.scale;
  if (a.out.sums != nullptr) a.out.sums[r] = sum;
  if (a.out.zero_points != nullptr) a.out.zero_points[r] = coder.affine.zero_point;
  if (!coder.usable && a.bad_rows != nullptr) (void)atomic_add(a.bad_rows, 1);
}

/// Calls `run(kernel, launch shape, kernel arguments...)` with the kernel of a plan.
template <class Run>
Status dispatch(const QuantizePlan& plan, const QuantizeArguments& a, Run&& run) noexcept {
  const auto with = [&](auto kernel) {
    return run(kernel, plan.launch, a, plan.shape.form, plan.shape.columns, plan.launch.threads);
  };
  const auto of_element = [&](auto element) {
    using E = decltype(element);
    switch (plan.held) {
      case 2:
        return with(quantize_rows<E, 2>);
      case 4:
        return with(quantize_rows<E, 4>);
      case 8:
        return with(quantize_rows<E, 8>);
      default:
        return with(quantize_rows<E, 0>);
    }
  };
  if (plan.launch.blocks == 0) return {};
  if (plan.shape.input == ElementType::bfloat16) return of_element(BFloat16{});
  if (plan.shape.input == ElementType::half) return of_element(Half{});
  return of_element(0.0f);
}

/// Whether arguments are of the planned shape.
[[nodiscard]] inline Status check(const QuantizePlan& plan, const QuantizeArguments& a) noexcept {
  const QuantizeShape& s = plan.shape;
  if (a.out.rows != s.rows || a.out.columns != s.columns)
    return {ErrorCode::shape_mismatch,
            "the quantization was planned for ",
            s.rows,
            " x ",
            s.columns,
            ", not ",
            a.out.rows,
            " x ",
            a.out.columns};
  if (!is_code_width(a.quantizer.bits) || (s.form == CodeForm::nibbles && a.quantizer.bits != 4))
    return {ErrorCode::invalid_argument, "codes have 2 to 8 bits, and 4 as nibbles, not ", a.quantizer.bits};
  if (a.quantizer.is_static() &&
      !(a.quantizer.static_scale >= least_scale && a.quantizer.static_scale <= planish::detail::greatest_float))
    return {ErrorCode::invalid_argument, "a static scale must be a normal positive number"};
  if (!is_valid_clip(a.quantizer.clip)) return {ErrorCode::invalid_argument, "a clip pair is out of range"};
  const index fewest = s.form == CodeForm::bytes ? index{s.columns} : packed_row_bytes(s.columns, 4);
  if (a.out.stride < fewest || a.out.stride % (s.form == CodeForm::bytes ? 16 : 4) != 0)
    return {ErrorCode::invalid_argument,   "rows of ",   fewest,
            " bytes of codes do not lie ", a.out.stride, " bytes apart"};
  if (plan.held > 0 &&
      (reinterpret_cast<std::uintptr_t>(a.x) % 16 != 0 || a.row_stride * element_bytes(s.input) % 16 != 0))
    return {ErrorCode::invalid_argument, "the quantization was planned for rows on multiples of 16 bytes"};
  if (reinterpret_cast<std::uintptr_t>(a.out.codes) % 16 != 0)
    return {ErrorCode::invalid_argument, "codes must lie on a multiple of 16 bytes"};
  return {};
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
