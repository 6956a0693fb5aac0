#pragma once
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include <planish/core/index.hpp>

#include "require.hpp"

namespace llama {

using planish::index;

/// Which two channels of a head RoPE turns together.
enum class RotaryPairs {
  interleaved,  ///< (2i, 2i + 1): GGUF files of this architecture
  halves,       ///< (i, i + size / 2), "rotate_half": Hugging Face files
};

/// Hyper-parameters of a Llama-family decoder.
struct Config {
  std::string name;       // of the model, for people
  index hidden_size = 0;  // channels of the residual stream
  index ffn_size = 0;     // channels between up and down
  index layers = 0;
  index heads = 0;       // query heads
  index kv_heads = 0;    // key/value heads, each shared by heads / kv_heads query heads
  index head_size = 0;   // channels of a head
  index vocabulary = 0;  // token ids
  index context = 0;     // most tokens of a sequence
  float norm_epsilon = 1e-5f;
  bool tied_head = false;         // the head is the embedding
  bool attention_biases = false;  // q, k and v must have biases (Qwen2)
  bool head_norms = false;        // every head of queries and keys meets an RMSNorm before RoPE (Qwen3)
  RotaryPairs pairs = RotaryPairs::interleaved;
  std::vector<double> rotary_frequencies;  // radians per position, one per pair; pairs beyond it are not turned

  [[nodiscard]] index query_size() const noexcept { return heads * head_size; }
  [[nodiscard]] index kv_size() const noexcept { return kv_heads * head_size; }
};

/// theta^(−2i / rotary_size) for each pair i.
[[nodiscard]] inline std::vector<double> rotary_frequencies(double theta, index rotary_size) {
  std::vector<double> frequencies(static_cast<std::size_t>(rotary_size / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_size));
  return frequencies;
}

/// Llama 3.1's long-context rule: slow pairs are slowed by `factor`, fast ones kept, those in between blended.
struct RotaryScaling {
  double factor = 1.0, low_frequency_factor = 1.0, high_frequency_factor = 4.0, original_context = 8192.0;

  void apply(std::vector<double>& frequencies) const {
    for (double& frequency : frequencies) {
      const double turns = original_context * frequency / (2.0 * std::numbers::pi);  // over the original context
      if (turns >= high_frequency_factor) continue;
      const double slowed = frequency / factor;
      const double kept = (turns - low_frequency_factor) / (high_frequency_factor - low_frequency_factor);
      frequency = turns <= low_frequency_factor ? slowed : (1.0 - kept) * slowed + kept * frequency;
    }
  }
};

/// Throws Error unless the sizes fit together; `file` says where they came from.
inline void validate(const Config& c, const std::string& file) {
  const auto refuse = [&](const std::string& reason) { throw Error(file + ": " + reason); };
  constexpr index most = index{1} << 24;
  const struct {
    const char* what;
    index value;
  } sizes[] = {{"hidden size", c.hidden_size},    {"feed-forward size", c.ffn_size},    {"layer count", c.layers},
               {"head count", c.heads},           {"key/value head count", c.kv_heads}, {"head size", c.head_size},
               {"vocabulary size", c.vocabulary}, {"context length", c.context}};
  for (const auto& [what, value] : sizes)
    if (value < 1 || value > most) refuse(std::string(what) + " is " + std::to_string(value));
  if (c.heads % c.kv_heads != 0)
    refuse(std::to_string(c.heads) + " heads cannot share " + std::to_string(c.kv_heads) + " key/value heads");
  if (c.head_size % 2 != 0) refuse("head size " + std::to_string(c.head_size) + " is odd: RoPE turns pairs");
  if (2 * static_cast<index>(c.rotary_frequencies.size()) > c.head_size)
    refuse("RoPE turns " + std::to_string(2 * c.rotary_frequencies.size()) + " channels of heads of " +
           std::to_string(c.head_size));
  if (!(c.norm_epsilon > 0.0f && c.norm_epsilon < 1.0f)) refuse("RMSNorm epsilon is not in (0, 1)");
  for (double frequency : c.rotary_frequencies)
    if (!std::isfinite(frequency)) refuse("RoPE frequencies are not finite");
}

}  // namespace llama
