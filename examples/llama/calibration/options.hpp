#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include <planish/calibration/methods/flatquant/options.hpp>

#include "../recipe.hpp"

namespace llama {

using planish::index;

/// What the learning of a block makes small, in increasing scope.
enum class Objective : std::uint8_t {
  weight,  ///< Σ over matrices: the quantized weights, turned back, against the weights
  layer,   ///< Σ over linear layers: outputs, on the float block's own inputs of each layer
  module,  ///< attention and MLP: what each adds to the residual, on the float block's residual
  block,   ///< the block's output
};
inline constexpr std::array<std::string_view, 4> objective_words{"weight", "layer", "module", "block"};
[[nodiscard]] constexpr std::string_view to_string(Objective objective) noexcept {
  return objective_words[static_cast<std::size_t>(objective)];
}

/// What a block reads while it learns, or while its second moments are taken.
enum class Inputs : std::uint8_t {
  plain,      ///< what it reads in the float model: blocks are independent (FlatQuant, arXiv 2410.09426, §3.3)
  quantized,  ///< what the quantized blocks before it make
  mixed,      ///< each number one or the other by a coin (QDrop, arXiv 2203.05740)
};
inline constexpr std::array<std::string_view, 3> inputs_words{"float", "quantized", "mixed"};
[[nodiscard]] constexpr std::string_view to_string(Inputs inputs) noexcept {
  return inputs_words[static_cast<std::size_t>(inputs)];
}

/// What a calibration learns, from what.
struct CalibrationOptions {
  Recipe recipe;
  planish::calibration::FlatQuant method{};
  index window = 2048;  ///< tokens of a sequence
  Objective objective = Objective::block;
  Inputs inputs = Inputs::plain;
  Inputs weight_inputs = Inputs::plain;    ///< of the passes in which weights learn
  Inputs rounding_inputs = Inputs::plain;  ///< of GPTQ's second moments; never mixed

  /// True if no block needs what another one has learned, so that they may be learned in any order and at once.
  [[nodiscard]] bool blocks_are_independent() const noexcept {
    return inputs == Inputs::plain && weight_inputs == Inputs::plain;
  }
};

}  // namespace llama
