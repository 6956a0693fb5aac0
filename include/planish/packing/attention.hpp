#pragma once
// What an attention kernel is asked for.
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI {

/// Causal attention of `query.rows()` neighbouring tokens over the stored keys and values. Row r is the token at
/// position first_position + r and sees tokens [0, first_position + r]. Query head h reads KV head h / group.
struct Attention {
  KvPages keys;
  KvPages values;
  MatrixView<const float> query;  ///< rows × kv_heads · group · head_size
  MatrixView<float> output;       ///< the same shape
  index group = 1;                ///< query heads per KV head
  index first_position = 0;
  float query_scale = 1.0f;  ///< softmax_scale · log2(e): scores are exponents of two
};

/// The unit of work is a line: one query head of one row. Line l of a KV head is row l / group, head l % group.
[[nodiscard]] constexpr index attention_lines(const Attention& a) noexcept { return a.query.rows() * a.group; }

}  // namespace planish::inline PLANISH_ABI
