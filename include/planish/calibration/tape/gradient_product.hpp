#pragma once
// Products of a gradient and a quantized matrix, by its codes.
#include <optional>

#include <planish/calibration/tape/byte_product.hpp>
#include <planish/calibration/tape/matrix_product.hpp>
#include <planish/calibration/tape/rounded_product.hpp>
#include <planish/kernels/cpu/split_code_product.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// c (m × n) = a · (the values of b) where c is fresh, else c += it; a: m × k, b: k × n codes. False where the tape's
/// products are float32, or this one is small.
PLANISH_LAZY bool multiply_by_codes_into(Tape<float>& tape, MatrixView<const float> a,
                                         const std::optional<QuantizedRowsView>& b, GradientTarget<float> c) {
  if (tape.products() == Products::float32 || !b || a.size() * b->columns < least_large_product) return false;
#if defined(PLANISH_HAS_AMX_BF16)
  if (tape.products() == Products::split_bfloat16) {
    namespace cpu = kernels::cpu;
    multiply_split(tape, a, b->scales, c,
                   [&](Range terms, const float* packed, bool adds, Range strips, Range panels, std::span<float> room) {
                     cpu::multiply_split_codes_block(
                         {packed, b->middle_rows(terms.begin, terms.end - terms.begin), c.at, adds}, strips, panels,
                         room);
                   });
    return true;
  }
#endif
  if (tape.products() == Products::int8)
    multiply_bytes(tape, a, *b, c);
  else
    multiply_rounded(tape, a, *b, c);
  return true;
}
/// Checks are of float64, which has no codes.
PLANISH_LAZY bool multiply_by_codes_into(Tape<double>&, MatrixView<const double>,
                                         const std::optional<QuantizedRowsView>&, GradientTarget<double>) {
  return false;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
