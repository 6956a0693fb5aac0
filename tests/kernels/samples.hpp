#pragma once
// Random weights and activations for the kernel tests, the same on every platform for a seed.
#include <algorithm>
#include <cstdint>
#include <vector>

#include <planish/core/random.hpp>
#include <planish/kernels/reference/quantize_rows.hpp>
#include <planish/packing/codes.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace samples {

using planish::index;

inline std::vector<float> floats(index count, planish::Random& random, double spread = 1.0) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(spread * (2.0 * random.uniform() - 1.0));
  return values;
}

/// Codes that reach both ends of their range, scales between 0.01 and 0.11.
inline planish::Codes codes(index rows, index columns, int bits, planish::Symmetry symmetry, index group_size,
                            planish::Random& random) {
  auto made = planish::Codes::make(rows, columns, bits, symmetry, group_size);
  const planish::CodeRange range = planish::code_range(bits, symmetry);
  const auto count = static_cast<std::uint64_t>(range.highest - range.lowest + 1);
  for (std::uint8_t& code : made->codes())
    code = static_cast<std::uint8_t>(range.lowest + static_cast<int>(random.below(count)));
  for (float& scale : made->scales()) scale = static_cast<float>(0.01 + 0.1 * random.uniform());
  for (std::uint8_t& zero : made->zero_points()) zero = static_cast<std::uint8_t>(random.below(count));
  return *std::move(made);
}

/// Quantized rows that own their memory.
class Rows {
 public:
  Rows(index rows, index columns, bool asymmetric)
      : memory_(planish::quantized_rows_bytes(rows, columns, asymmetric) + 64, std::byte{0x5a}) {
    planish::Workspace workspace(memory_);
    span_ = planish::take_quantized_rows(workspace, rows, columns, asymmetric);
  }
  Rows(planish::MatrixView<const float> x, const planish::RowQuantizer& q)
      : Rows(x.rows(), x.columns(), q.symmetry == planish::Symmetry::asymmetric) {
    (void)planish::kernels::reference::quantize_rows(x, q, span_);
  }
  [[nodiscard]] planish::QuantizedRowsSpan span() const { return span_; }
  [[nodiscard]] planish::QuantizedRowsView view() const { return span_; }

 private:
  std::vector<std::byte> memory_;
  planish::QuantizedRowsSpan span_;
};

}  // namespace samples
