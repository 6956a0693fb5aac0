#include <algorithm>

#include "json_members.hpp"
#include "weight_files.hpp"

namespace llama {
namespace {

/// The rule that `scaling` names, applied to frequencies that theta alone gives.
void scale_rotary_frequencies(const JsonMembers& scaling, const std::string& path, std::vector<double>& frequencies) {
  const std::string type = scaling.text("rope_type", scaling.text("type", "default"));
  if (type == "default") return;
  if (type != "linear" && type != "llama3")
    throw Error(path + ": RoPE scaling '" + type + "' is not supported (default, linear, llama3)");
  const double factor = scaling.real("factor", type == "linear" ? 1.0 : 8.0);
  if (!(factor > 0.0)) throw Error(path + ": the factor of RoPE scaling is " + std::to_string(factor));
  if (type == "linear") {
    for (double& frequency : frequencies) frequency /= factor;
    return;
  }
  const RotaryScaling rule{.factor = factor,
                           .low_frequency_factor = scaling.real("low_freq_factor", 1.0),
                           .high_frequency_factor = scaling.real("high_freq_factor", 4.0),
                           .original_context = scaling.real("original_max_position_embeddings", 8192.0)};
  if (!(rule.high_frequency_factor > rule.low_frequency_factor))
    throw Error(path + ": RoPE scaling llama3 needs high_freq_factor above low_freq_factor");
  rule.apply(frequencies);
}

/// Throws Error if some layer's tokens would see fewer tokens than the context has.
void refuse_sliding_window(const JsonMembers& members, const std::string& type, const Config& config,
                           const std::string& path) {
  constexpr index mistral_default = 4096;  // where the key is not there at all
  const bool silent_mistral = type == "mistral" && !members.has("sliding_window") && !members.is_null("sliding_window");
  if (!members.has("sliding_window") && !silent_mistral) return;
  const index window = silent_mistral ? mistral_default : members.number("sliding_window");
  if (window >= config.context) return;
  bool slides = members.flag("use_sliding_window", type == "mistral");
  if (members.has("layer_types")) {
    const auto& types = members.array("layer_types");
    slides = std::find(types.begin(), types.end(), "sliding_attention") != types.end();
  } else if (members.has("max_window_layers")) {
    slides = slides && members.number("max_window_layers") < config.layers;
  }
  if (slides)
    throw Error(path + ": attention slides over " + std::to_string(window) + " tokens, fewer than the context of " +
                std::to_string(config.context) +
                ", which is not supported; set max_position_embeddings to the window to use the model up to it");
}

}  // namespace

Config config_from_json(const std::string& path, std::string_view text) {
  const nlohmann::json json = parse_json(path, text);
  const JsonMembers members(json, path);
  const std::string type = members.text("model_type", "llama");
  if (type != "llama" && type != "mistral" && type != "qwen2" && type != "qwen3")
    throw Error(path + ": model_type '" + type + "' is not of the Llama family (llama, mistral, qwen2, qwen3)");
  if (const std::string activation = members.text("hidden_act", "silu"); activation != "silu")
    throw Error(path + ": hidden_act '" + activation + "' is not supported (silu)");
  if (members.has("quantization_config"))
    throw Error(path + ": the checkpoint is quantized (" +
                members.object("quantization_config").text("quant_method", "of no named kind") +
                "), which is not read; use the one in F32, F16 or BF16, or a GGUF file");

  Config config;
  config.name = members.text("_name_or_path", type);
  config.hidden_size = members.number("hidden_size");
  config.ffn_size = members.number("intermediate_size");
  config.layers = members.number("num_hidden_layers");
  config.heads = members.number("num_attention_heads");
  config.kv_heads = members.number("num_key_value_heads", config.heads);
  config.head_size = members.number("head_dim", config.heads > 0 ? config.hidden_size / config.heads : 0);
  config.vocabulary = members.number("vocab_size");
  config.context = members.number("max_position_embeddings", 2048);
  config.norm_epsilon = static_cast<float>(members.real("rms_norm_eps", 1e-6));
  config.tied_head = members.flag("tie_word_embeddings", false);
  config.attention_biases = type == "qwen2" || members.flag("attention_bias", false);
  config.head_norms = type == "qwen3";
  config.pairs = RotaryPairs::halves;
  refuse_sliding_window(members, type, config, path);

  const double turned_part = members.real("partial_rotary_factor", 1.0);
  if (!(turned_part >= 0.0 && turned_part <= 1.0)) throw Error(path + ": 'partial_rotary_factor' is not in [0, 1]");
  const auto rotary_size = static_cast<index>(static_cast<double>(config.head_size) * turned_part);
  const char* const scaling = members.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  double theta = members.real("rope_theta", 10000.0);
  if (members.has("rope_parameters")) theta = members.object("rope_parameters").real("rope_theta", theta);
  config.rotary_frequencies = rotary_frequencies(theta, rotary_size);
  if (members.has(scaling)) scale_rotary_frequencies(members.object(scaling), path, config.rotary_frequencies);
  validate(config, path);
  return config;
}

}  // namespace llama
