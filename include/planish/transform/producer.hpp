#pragma once
#include <concepts>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// What stands between a site's producer and its consumers, which decides what the producer can absorb.
enum class Producer : std::uint8_t {
  none,              ///< nothing can be absorbed: everything runs online
  norm_gain,         ///< RMSNorm with gain: output channels can be rescaled
  layer_norm,        ///< LayerNorm with gain and bias: rescaled and shifted
  gain_free_norm,    ///< RMSNorm without gain on the residual stream: any orthogonal map shared by the whole stream
  attention_values,  ///< values mixed over tokens by attention (v → o): maps within heads; rows of attention sum to 1
  gated_product,     ///< act(gate) ⊙ up: Scale through the up rows, Permutation through gate and up rows
  linear,            ///< nothing in between: everything
};

/// True if a stage of this kind commutes with what stands between, so that the producer can absorb it.
[[nodiscard]] constexpr bool admits(Producer producer, StageKind kind) noexcept {
  const bool is_identity = kind.shift && kind.scale && kind.permutation && kind.orthogonal && kind.within_heads;
  switch (producer) {
    case Producer::none:
      return is_identity;
    case Producer::norm_gain:
      return kind.scale;
    case Producer::layer_norm:
      return kind.shift || kind.scale;
    case Producer::gain_free_norm:
      return kind.orthogonal;
    case Producer::attention_values:
      return kind.within_heads;
    case Producer::gated_product:
      return kind.scale || kind.permutation;
    case Producer::linear:
      return true;
  }
  return false;
}

/// "norm_gain": as `describe` and messages spell it.
[[nodiscard]] constexpr const char* producer_name(Producer producer) noexcept {
  switch (producer) {
    case Producer::none:
      return "none";
    case Producer::norm_gain:
      return "norm_gain";
    case Producer::layer_norm:
      return "layer_norm";
    case Producer::gain_free_norm:
      return "gain_free_norm";
    case Producer::attention_values:
      return "attention_values";
    case Producer::gated_product:
      return "gated_product";
    case Producer::linear:
      return "linear";
  }
  return "none";
}

// The same producers as types, for fold<...>(transform).
/// The host's own operator: everything runs online.
struct after_nothing {
  static constexpr Producer producer = Producer::none;
};
/// RMSNorm: its gain absorbs scales.
struct after_norm_gain {
  static constexpr Producer producer = Producer::norm_gain;
};
/// LayerNorm: its gain and bias absorb scales and shifts.
struct after_layer_norm {
  static constexpr Producer producer = Producer::layer_norm;
};
/// RMSNorm whose gain went into its consumers: the residual stream absorbs orthogonal maps.
struct after_gain_free_norm {
  static constexpr Producer producer = Producer::gain_free_norm;
};
/// The value projection, with attention in between: its rows absorb maps within heads.
struct after_attention_values {
  static constexpr Producer producer = Producer::attention_values;
};
/// The up projection, with ⊙ act(gate) in between: its rows absorb scales, and permutations together with gate's.
struct after_gated_product {
  static constexpr Producer producer = Producer::gated_product;
};
/// A linear layer and nothing in between: it absorbs everything.
struct after_linear {
  static constexpr Producer producer = Producer::linear;
};

/// One of those.
template <class Tag>
concept ProducerTag = requires {
  { Tag::producer } -> std::convertible_to<Producer>;
};

namespace detail {
template <class Tag>
struct ProducerTagOrSentence {
  static constexpr bool value = ProducerTag<Tag>;
  static_assert(ProducerTag<Tag>,
                "planish: fold<Tag> is told what stands between producer and consumers: after_norm_gain, "
                "after_layer_norm, after_gain_free_norm, after_attention_values, after_gated_product, after_linear or "
                "after_nothing");
};
/// ProducerTag, with a sentence in front of the compiler's own words.
template <class Tag>
concept MustBeProducerTag = ProducerTagOrSentence<Tag>::value;
}  // namespace detail

}  // namespace planish::inline PLANISH_ABI
