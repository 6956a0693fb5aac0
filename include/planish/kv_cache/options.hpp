#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/scheme.hpp>
#include <planish/core/status.hpp>
#include <planish/packing/attention.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI {

/// What the cache of one attention layer holds, and in how many bits. Codes are asymmetric, one scale and zero point
/// per token and KV head.
struct KvCacheOptions {
  index kv_heads = 0;
  index head_size = 0;
  index capacity = 0;  ///< tokens
  int key_bits = 16;   ///< 2 to 8; 16 keeps float32
  int value_bits = 16;
  ClipPair key_clip{};
  ClipPair value_clip{};
  index prefix_tokens = 0;  ///< the first tokens stay float32 (IntactKV, PrefixQuant: attention sinks quantize badly)
  AttentionPrecision precision = AttentionPrecision::floats;  ///< of queries and probabilities
};

/// Every size and width checked, so that no product of them can overflow. More than any memory holds is out_of_memory.
[[nodiscard]] inline Status check(const KvCacheOptions& o) noexcept {
  constexpr index most_heads = 1 << 16, most_head_size = 1 << 16, most_tokens = index{1} << 28;
  if (o.kv_heads < 1 || o.kv_heads > most_heads)
    return {ErrorCode::invalid_argument, "KV cache: kv_heads is ", o.kv_heads, ", must be in 1..", most_heads};
  if (o.head_size < 1 || o.head_size > most_head_size)
    return {ErrorCode::invalid_argument, "KV cache: head_size is ", o.head_size, ", must be in 1..", most_head_size};
  if (o.capacity < 0 || o.capacity > most_tokens)
    return {ErrorCode::invalid_argument, "KV cache: capacity is ", o.capacity, ", must be in 0..", most_tokens};
  if (o.prefix_tokens < 0)
    return {ErrorCode::invalid_argument, "KV cache: prefix_tokens is ", o.prefix_tokens, ", must not be negative"};
  for (int bits : {o.key_bits, o.value_bits})
    if (bits != 16 && !is_code_width(bits))
      return {ErrorCode::invalid_argument, "KV cache: ", bits, " bits; codes have 2 to 8, and 16 keeps float32"};
  if (o.precision != AttentionPrecision::floats && o.head_size > most_integer_head_size)
    return {ErrorCode::invalid_argument,       "KV cache: head_size is ", o.head_size,
            "; q8p8 attention takes at most ", most_integer_head_size,    ", use float precision"};
  const std::int64_t elements =
      std::int64_t{o.kv_heads} * (o.head_size + block_lanes) * (std::int64_t{o.capacity} + page_tokens);
  if (elements > most_elements)
    return {ErrorCode::out_of_memory, "KV cache: ", o.kv_heads, " heads of ", o.head_size,
            " channels and ",         o.capacity,   " tokens"};
  if (!is_valid_clip(o.key_clip) || !is_valid_clip(o.value_clip))
    return {ErrorCode::invalid_argument, "KV cache: clip factors must be in 2^-20..16"};
  return {};
}

}  // namespace planish::inline PLANISH_ABI
