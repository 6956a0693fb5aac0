#pragma once
// What the products of learning take: float_product.hpp, rounded_product.hpp.
#include <cstdint>

#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/pack_product_strips.hpp>
#include <planish/kernels/cpu/pack_rounded_strips.hpp>
#include <planish/packing/panels.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

// A block's share of a run of terms stays in the second cache.
inline constexpr index product_chunk = 384;  // terms of a run
inline constexpr index product_block_strips = 512 / product_strip_rows + 1;

/// Scratch of one worker, in elements: a panel of a chunk.
inline constexpr index product_scratch_size = panel_width * product_chunk;

/// c (m × n) = or += a · bᵀ over at most product_chunk terms. The rows or the columns of b are dense; the rows of c
/// are.
struct FloatProduct {
  const float* strips;        // a, as pack_product_strips leaves it
  MatrixView<const float> b;  // n × terms
  MatrixView<float> c;
  bool adds = false;
};

inline constexpr index rounded_block_strips = 512 / rounded_strip_rows + 1;  // stay in the second cache

/// Scratch of one worker, in words: a panel of a chunk.
inline constexpr index rounded_scratch_size = panel_width * rounded_pairs(rounded_chunk);

/// c (m × n) = or += a · (the values of b), b: terms × n symmetric codes, at most rounded_chunk terms. The rows of c
/// are dense.
struct RoundedProduct {
  const std::int32_t* strips;  // a by pack_rounded_strip, its terms times the scales of b, strip after strip
  const float* scales;         // of the rows of a
  QuantizedRowsView b;
  MatrixView<float> c;
  bool adds = false;
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
