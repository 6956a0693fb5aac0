#pragma once
// Kronecker transform, clip, quantization and packing of a row in one pass, in float32 on the ordinary units: the order
// of the reference, M · R first, each output one sum over rising k, so that the codes are the reference's to the bit.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/kronecker_arguments.cuh>
#include <planish/kernels/cuda/quantize_rows.cuh>
#include <planish/kernels/cuda/row_prologue.cuh>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Factors in float32, row-major, of device memory; null stands for the identity.
struct ExactFactorsView {
  int n1 = 0, n2 = 0;
  const float* left = nullptr;   // n1 × n1
  const float* right = nullptr;  // n2 × n2
};

/// What kronecker_exact takes: KroneckerArguments with factors in float32, and y of float32.
struct ExactArguments {
  const void* x = nullptr;
  std::int64_t row_stride = 0;
  ExactFactorsView factors{};
  float factor = 1.0f;
  RowQuantizer quantizer{};
  QuantizedRowsSpan out;
  std::int32_t* bad_rows = nullptr;
  float* y = nullptr;  // the transformed rows instead of codes; null: codes
  std::int64_t y_stride = 0;
  PrologueArguments prologue{};  // of what the plan says
};

inline constexpr int exact_threads = 1024;
inline constexpr int exact_outputs = 32;  // of a thread
inline constexpr int exact_most = exact_threads * exact_outputs;

/// One product in place: every output is in a register before the first is written.
template <class Sum>
PLANISH_DEVICE void replace_row(float* row, int n, const Sum& sum) noexcept {
  float outputs[exact_outputs];
  PLANISH_UNROLL
  for (int j = 0; j < exact_outputs; ++j) {
    const int at = thread_index() + j * exact_threads;
    outputs[j] = at < n ? sum(at) : 0.0f;
  }
  block_barrier();
  PLANISH_UNROLL
  for (int j = 0; j < exact_outputs; ++j) {
    const int at = thread_index() + j * exact_threads;
    if (at < n) row[at] = outputs[j];
  }
  block_barrier();
}

/// A block per row.
template <int Threads = exact_threads>
PLANISH_KERNEL(Threads, 1)
kronecker_exact(ExactArguments a, ElementType input, CodeForm form, Prologue prologue) {
  wait_for_kernel_before();
  let_next_kernel_start();
  const int n1 = a.factors.n1, n2 = a.factors.n2, n = n1 * n2;
  const std::int64_t r = block_index();
  auto* const row = reinterpret_cast<float*>(shared_memory() + 32 * sizeof(RangeSoFar));
  double squares = 0.0;
  for (int at = thread_index(); at < n; at += exact_threads) {
    float x = load_element(a.x, input, r * a.row_stride + at);
    if (prologue == Prologue::swiglu) x = gated(x, load_element(a.prologue.up, input, r * a.prologue.up_stride + at));
    if (prologue == Prologue::rms_norm)
      squares += static_cast<double>(x) * static_cast<double>(x);
    else
      x = mapped(x, a.prologue, at);
    row[at] = x;
  }
  if (prologue == Prologue::rms_norm) {
    squares = sum_group(squares, thread_index(), exact_threads, 1, reinterpret_cast<double*>(shared_memory()));
    const float norm = norm_factor(squares, n, a.prologue.epsilon);
    for (int at = thread_index(); at < n; at += exact_threads)
      row[at] = mapped(row[at] * norm * (a.prologue.gain == nullptr ? 1.0f : a.prologue.gain[at]), a.prologue, at);
  }
  block_barrier();
  if (const float* right = a.factors.right; right != nullptr)
    replace_row(row, n, [=](int at) {
      const float* x = row + at / n2 * n2;
      float sum = 0.0f;
      for (int k = 0; k < n2; ++k) sum = fused_multiply_add(x[k], right[k * n2 + at % n2], sum);
      return sum;
    });
  if (const float* left = a.factors.left; left != nullptr)
    replace_row(row, n, [=](int at) {
      const float* x = row + at % n2;
      const int i = at / n2;
      float sum = 0.0f;
      for (int k = 0; k < n1; ++k) sum = fused_multiply_add(left[k * n1 + i], x[k * n2], sum);
      return sum;
    });
  if (a.factor != 1.0f) replace_row(row, n, [=, factor = a.factor](int at) { return row[at] * factor; });
  if (a.y != nullptr) {
    for (int at = thread_index(); at < n; at += exact_threads) a.y[r * a.y_stride + at] = row[at];
    return;
  }
  RangeSoFar range;
  for (int at = thread_index(); at < n; at += exact_threads) range.add(row[at]);
  range = join_block(range, exact_threads);
  const RowCoder coder = RowCoder::make({range.lowest, range.highest}, range.finite(), a.quantizer);
  std::int8_t* const out = a.out.row(r);
  const int stride = static_cast<int>(a.out.stride), end = form == CodeForm::bytes ? stride : n;
  int sum = 0;
  for (int at = 4 * thread_index(); at < end; at += 4 * exact_threads)
    sum += store_row_codes(coder, load_row_vector(row, at, n, true), at, n, form, out, stride);
  sum = sum_warp(sum);
  auto* const meeting = reinterpret_cast<int*>(shared_memory());
  if (thread_index() % warp_size == 0) meeting[thread_index() / warp_size] = sum;
  block_barrier();
  if (thread_index() != 0) return;
  sum = 0;
  for (int i = 0; i < exact_threads / warp_size; ++i) sum += meeting[i];
  a.out.scales[r] = coder.affine.scale;
  if (a.out.sums != nullptr) a.out.sums[r] = sum;
  if (a.out.zero_points != nullptr) a.out.zero_points[r] = coder.affine.zero_point;
  if (!coder.usable && a.bad_rows != nullptr) (void)atomic_add(a.bad_rows, 1);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
