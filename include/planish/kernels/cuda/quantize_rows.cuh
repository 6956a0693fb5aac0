#pragma once
// Rows of activations to codes: a block per row, read once and kept in registers where it fits.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/row_codes.cuh>
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
};

inline constexpr int quantize_threads = 512;  // at most

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
                                                        const DeviceCapabilities& /*device*/) noexcept {
  if (shape.rows < 0 || shape.columns < 0 || shape.columns > (1 << 26))
    return Status(ErrorCode::invalid_argument, "rows to quantize: ", shape.rows, " x ", shape.columns);
  if (shape.input == ElementType::int32) return Status(ErrorCode::invalid_argument, "int32 is not quantized");
  QuantizePlan plan;
  plan.shape = shape;
  const int lanes = 16 / element_bytes(shape.input);
  const int vectors = (shape.columns + lanes - 1) / lanes;
  int threads = 32;  // about 4 vectors each, 8 where the row is long
  while (threads < 256 && threads * 4 < vectors) threads *= 2;
  plan.held = 2;
  while (plan.held < 8 && plan.held * threads < vectors) plan.held *= 2;
  while (threads < quantize_threads && plan.held * threads < vectors) threads *= 2;
  if (plan.held * threads < vectors || !shape.aligned) plan.held = 0;
  plan.launch = {shape.rows, threads, static_cast<int>(sizeof(RangeSoFar)) * 32};
  return plan;
}

/// The values of 16 bytes of a row.
template <class E>
struct RowVector {
  static constexpr int lanes = 16 / static_cast<int>(sizeof(E));
  Vector16 bytes;

  [[nodiscard]] PLANISH_DEVICE float value(int i) const noexcept {
    if constexpr (std::is_same_v<E, float>)
      return __builtin_bit_cast(float, bytes.words[i]);
    else
      return widen(E{static_cast<std::uint16_t>(bytes.words[i / 2] >> (i % 2 * 16))});
  }
};

/// Elements [at, at + lanes) of a row; those behind the last column are 0.
template <class E>
PLANISH_DEVICE RowVector<E> load_row_vector(const E* row, int at, int columns, bool aligned) noexcept {
  RowVector<E> v{};
  if (aligned && at + RowVector<E>::lanes <= columns) {
    v.bytes = *reinterpret_cast<const Vector16*>(row + at);
    return v;
  }
  PLANISH_UNROLL
  for (int i = 0; i < RowVector<E>::lanes; ++i) {
    if (at + i >= columns) continue;
    if constexpr (std::is_same_v<E, float>)
      v.bytes.words[i] = __builtin_bit_cast(std::uint32_t, row[at + i]);
    else
      v.bytes.words[i / 2] |= static_cast<std::uint32_t>(row[at + i].bits) << (i % 2 * 16);
  }
  return v;
}

/// Stores the codes of a vector and returns their sum. Behind the last column, byte codes are 0 up to the stride.
template <class E>
PLANISH_DEVICE int store_row_codes(const RowCoder& coder, const RowVector<E>& v, int at, int columns, CodeForm form,
                                   std::int8_t* row, int stride) noexcept {
  constexpr int lanes = RowVector<E>::lanes;
  float values[8] = {};
  PLANISH_UNROLL
  for (int i = 0; i < lanes; ++i) values[i] = v.value(i);
  if (coder.shifted) {
    PLANISH_UNROLL
    for (int i = 0; i < lanes; ++i) values[i] = coder.shifted_value(values[i]);
  }
  std::uint32_t codes[8] = {};
  PLANISH_UNROLL
  for (int i = 0; i < lanes; ++i) codes[i] = coder.code(values[i]);
  if (at + lanes > columns) {
    PLANISH_UNROLL
    for (int i = 0; i < lanes; ++i) codes[i] = at + i < columns ? codes[i] : 0;
  }
  const std::uint32_t low = low_bytes(codes[0], codes[1], codes[2], codes[3]);
  const std::uint32_t high = low_bytes(codes[4], codes[5], codes[6], codes[7]);
  const int sum = add_bytes(high, add_bytes(low, 0));
  if (form == CodeForm::bytes) {
    if (at + lanes <= stride && stride % lanes == 0) {
      if constexpr (lanes == 8)
        *reinterpret_cast<Vector8*>(row + at) = Vector8{{low, high}};
      else
        *reinterpret_cast<std::uint32_t*>(row + at) = low;
    } else {
      PLANISH_UNROLL
      for (int i = 0; i < lanes; ++i)
        if (at + i < stride) row[at + i] = static_cast<std::int8_t>(codes[i]);
    }
    return sum;
  }
  const std::uint32_t nibbles = four_nibbles(low) | four_nibbles(high) << 16;
  if (lanes == 8 && at + lanes <= columns && stride % 4 == 0) {
    *reinterpret_cast<std::uint32_t*>(row + at / 2) = nibbles;
    return sum;
  }
  PLANISH_UNROLL
  for (int i = 0; i < lanes / 2; ++i) {
    std::uint32_t byte = nibbles >> (8 * i) & 255u;
    if (at + 2 * i + 1 >= columns) byte &= 15u;
    if (at + 2 * i < columns) row[at / 2 + i] = static_cast<std::int8_t>(byte);
  }
  return sum;
}

/// The range of all threads of a block, in each.
PLANISH_DEVICE RangeSoFar join_block(RangeSoFar range, int threads) noexcept {
  range = join_warp(range);
  if (threads == warp_size) return range;
  auto* meeting = reinterpret_cast<RangeSoFar*>(shared_memory());
  if (thread_index() % warp_size == 0) meeting[thread_index() / warp_size] = range;
  block_barrier();
  range = meeting[0];
  for (int i = 1; i < threads / warp_size; ++i) range.join(meeting[i]);
  block_barrier();
  return range;
}

/// One row per block; Held: 16-byte vectors that a thread keeps, or 0.
template <class E, int Held>
PLANISH_KERNEL(quantize_threads, 1)
quantize_rows(QuantizeArguments a, CodeForm form, int columns, int threads) {
  constexpr int lanes = RowVector<E>::lanes;
  const int r = block_index();
  const E* row = static_cast<const E*>(a.x) + r * a.row_stride;
  [[maybe_unused]] const bool aligned = reinterpret_cast<std::uintptr_t>(row) % 16 == 0;
  std::int8_t* out = a.out.row(r);
  const int stride = static_cast<int>(a.out.stride);
  const int step = threads * lanes, begin = thread_index() * lanes;
  const int end = form == CodeForm::bytes ? stride : columns;

  RangeSoFar range;
  RowVector<E> kept[Held > 0 ? Held : 1];
  if constexpr (Held > 0) {
    PLANISH_UNROLL
    for (int i = 0; i < Held; ++i) kept[i] = load_row_vector(row, begin + i * step, columns, true);
    PLANISH_UNROLL
    for (int i = 0; i < Held; ++i) PLANISH_UNROLL
    for (int j = 0; j < lanes; ++j) range.add(kept[i].value(j));
  } else {
    for (int at = begin; at < columns; at += step) {
      const RowVector<E> v = load_row_vector(row, at, columns, aligned);
      PLANISH_UNROLL
      for (int j = 0; j < lanes; ++j) range.add(v.value(j));
    }
  }
  range = join_block(range, threads);
  const RowCoder coder = RowCoder::make({range.lowest, range.highest}, range.finite(), a.quantizer);

  int sum = 0;
  if constexpr (Held > 0) {
    PLANISH_UNROLL
    for (int i = 0; i < Held; ++i)
      if (begin + i * step < end) sum += store_row_codes(coder, kept[i], begin + i * step, columns, form, out, stride);
    for (int at = begin + Held * step; at < end; at += step)
      sum += store_row_codes(coder, RowVector<E>{}, at, columns, form, out, stride);
  } else {
    for (int at = begin; at < end; at += step)
      sum += store_row_codes(coder, load_row_vector(row, at, columns, aligned), at, columns, form, out, stride);
  }
  sum = sum_warp(sum);
  if (threads > warp_size) {
    auto* meeting = reinterpret_cast<int*>(shared_memory());
    if (thread_index() % warp_size == 0) meeting[thread_index() / warp_size] = sum;
    block_barrier();
    sum = 0;
    for (int i = 0; i < threads / warp_size; ++i) sum += meeting[i];
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
