#pragma once
// What an attention kernel is asked for.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI {

/// What queries and probabilities are while they meet codes.
///   floats          float32
///   q8p8            queries in 8 bits, symmetric, one scale per token and head; probabilities times the scales of the
///                   values in 8 bits, unsigned, one scale per page of 64 tokens (but float32 in pages with values that
///                   are floats): integer products, sums in int32
///   q8p8_simulated  the same numbers, to the bit, from float sums
enum class AttentionPrecision : std::uint8_t { floats, q8p8, q8p8_simulated };

/// Largest head size of q8p8: its integers stay below 2^24, where float32 is exact too.
inline constexpr index most_integer_head_size = 512;

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
  AttentionPrecision precision = AttentionPrecision::floats;
};

/// The unit of work is a line: one query head of one row. Line l of a KV head is row l / group, head l % group.
[[nodiscard]] constexpr index attention_lines(const Attention& a) noexcept { return a.query.rows() * a.group; }

}  // namespace planish::inline PLANISH_ABI
