#pragma once
// Products of floats and codes as those of codes and codes: the floats, times the scale of the codes that they meet,
// are quantized to 8 bits row by row.
#include <algorithm>

#include <planish/calibration/tape/code_product.hpp>
#include <planish/calibration/tape/lanes.hpp>
#include <planish/calibration/tape/row_blocks.hpp>
#include <planish/kernels/cpu/scratch.hpp>
#include <planish/kernels/cpu/transpose.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

inline constexpr index byte_run = 512;  // terms, at most, that share a scale of their row
inline constexpr index byte_rows = 16;  // quantized together: columns of a cache line

struct TermBlock {
  alignas(buffer_alignment) float values[byte_rows * byte_run];
};

/// to = a ⊙ b.
template <class T>
void multiply_elements(const T* a, const T* b, index count, T* to) noexcept {
  for_lanes<T>(count, [&](auto at) { store<T>(load(a, at) * load(b, at), to, at); });
}

/// Rows of a (rows × terms; its rows or its columns are dense), term k times factors[k], as symmetric codes of 8 bits.
/// NaN and infinity make their row's scale NaN.
PLANISH_LAZY void quantize_terms(ExecutorReference executor, MatrixView<const float> a, const float* factors,
                                 QuantizedRowsSpan out) {
  const index terms = a.columns();
  for_row_blocks(executor, a.rows(), byte_rows, [&](index first, index count) {
    TermBlock block;
    if (!a.has_dense_rows())
      kernels::cpu::transpose(a.data() + first, a.column_stride(), terms, count, block.values, terms);
    for (index r = 0; r < count; ++r) {
      float* const row = block.values + r * terms;
      const float* const from = a.has_dense_rows() ? a.row(first + r) : row;
      multiply_elements(from, factors, terms, row);
    }
    quantize(Cpu{}, MatrixView<const float>(block.values, count, terms), RowQuantizer{.bits = 8},
             out.middle_rows(first, count));
  });
}

/// c = or += a · (the values of b), a: m × k, b: k × n, up to byte_run terms at a time.
PLANISH_LAZY void multiply_bytes(Tape<float>& tape, MatrixView<const float> a, QuantizedRowsView b,
                                 GradientTarget<float> c) {
  const ExecutorReference executor = tape.executor();
  const index rows = a.rows(), longest = std::min(a.columns(), byte_run);
  const std::size_t room = CodePanel::room(rows, longest), codes = quantized_rows_bytes(rows, longest, false);
  auto bytes = tape.borrow_bytes(codes + static_cast<std::size_t>(executor.workers()) * room);
  kernels::cpu::for_each_run(a.columns(), byte_run, [&](Range terms) {
    const index count = terms.end - terms.begin;
    Workspace memory({bytes.data(), codes});
    const QuantizedRowsSpan left = take_quantized_rows(memory, rows, count, false);
    quantize_terms(executor, a.middle_columns(terms.begin, count), b.scales + terms.begin, left);
    const QuantizedRowsView right = b.middle_rows(terms.begin, count);
    for_panel_blocks(executor, rows, panel_count(b.columns), [&](index panel, Range block, int worker) {
      const index first = panel * panel_width, height = block.end - block.begin;
      auto packed =
          CodePanel::of_terms(right, panel, {bytes.data() + codes + static_cast<std::size_t>(worker) * room, room});
      packed.multiply(
          QuantizedRowsView(left).middle_rows(block.begin, height),
          c.at.middle_rows(block.begin, height).middle_columns(first, std::min(panel_width, b.columns - first)),
          !c.fresh || terms.begin > 0);
    });
  });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
