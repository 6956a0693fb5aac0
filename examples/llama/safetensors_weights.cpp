#include <filesystem>

#include <nlohmann/json.hpp>

#include <planish/io/model_index.hpp>

#include "text_source.hpp"
#include "weight_files.hpp"

namespace llama {
namespace {

using Json = nlohmann::json;
using planish::io::ModelTensor;
using planish::io::SafetensorsModel;
using planish::io::Tensor;

constexpr TensorNames hugging_face_names = {.embedding = "model.embed_tokens.weight",
                                            .norm = "model.norm.weight",
                                            .head = "lm_head.weight",
                                            .layer_prefix = "model.layers.",
                                            .attention_norm = "input_layernorm",
                                            .mlp_norm = "post_attention_layernorm",
                                            .q = "self_attn.q_proj",
                                            .k = "self_attn.k_proj",
                                            .v = "self_attn.v_proj",
                                            .o = "self_attn.o_proj",
                                            .gate = "mlp.gate_proj",
                                            .up = "mlp.up_proj",
                                            .down = "mlp.down_proj"};

Json parse_json(const std::string& path, std::string_view text) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw Error(path + ": is not a JSON object");
  return json;
}

/// Members of a JSON object by type; every complaint names the file and the key.
class Members {
 public:
  Members(const Json& json, const std::string& path) : json_(json), path_(path) {}

  [[nodiscard]] bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

  [[nodiscard]] index number(const char* key) const {
    if (!has(key)) throw Error(path_ + ": '" + key + "' is missing");
    if (!json_[key].is_number_integer()) throw Error(path_ + ": '" + key + "' is not a whole number");
    return json_[key].get<index>();
  }
  [[nodiscard]] index number(const char* key, index otherwise) const { return has(key) ? number(key) : otherwise; }

  [[nodiscard]] double real(const char* key, double otherwise) const {
    if (!has(key)) return otherwise;
    if (!json_[key].is_number()) throw Error(path_ + ": '" + key + "' is not a number");
    return json_[key].get<double>();
  }
  [[nodiscard]] bool flag(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!json_[key].is_boolean()) throw Error(path_ + ": '" + key + "' is not true or false");
    return json_[key].get<bool>();
  }
  [[nodiscard]] std::string text(const char* key, const std::string& otherwise) const {
    if (!has(key)) return otherwise;
    if (!json_[key].is_string()) throw Error(path_ + ": '" + key + "' is not a string");
    return json_[key].get<std::string>();
  }
  [[nodiscard]] Members object(const char* key) const {
    if (!json_[key].is_object()) throw Error(path_ + ": '" + key + "' is not an object");
    return {json_[key], path_};
  }

 private:
  const Json& json_;
  const std::string& path_;
};

void scale_rotary_frequencies(const Members& scaling, const std::string& path, std::vector<double>& frequencies) {
  const std::string type = scaling.text("rope_type", scaling.text("type", "default"));
  if (type == "default") return;
  if (type == "linear") {
    for (double& frequency : frequencies) frequency /= scaling.real("factor", 1.0);
  } else if (type == "llama3") {
    RotaryScaling{.factor = scaling.real("factor", 8.0),
                  .low_frequency_factor = scaling.real("low_freq_factor", 1.0),
                  .high_frequency_factor = scaling.real("high_freq_factor", 4.0),
                  .original_context = scaling.real("original_max_position_embeddings", 8192.0)}
        .apply(frequencies);
  } else {
    throw Error(path + ": RoPE scaling '" + type + "' is not supported (default, linear, llama3)");
  }
}

class SafetensorsWeights final : public WeightSource {
 public:
  SafetensorsWeights(const std::string& path, const std::string& config_path, SafetensorsModel model)
      : WeightSource(path), model_(std::move(model)) {
    config_ = config_from_json(config_path, read_text(config_path));
    if (!has("head")) config_.tied_head = true;
  }

  [[nodiscard]] bool has(std::string_view name) const override {
    return model_.find(file_name_of(name)).tensor != nullptr;
  }

  [[nodiscard]] std::string storage(std::string_view name) const override {
    return std::string(planish::io::name_of(get(name).tensor->dtype));
  }

  [[nodiscard]] std::size_t stored_bytes(std::string_view name) const override {
    return get(name).tensor->bytes.size();
  }

  [[nodiscard]] std::string identity() const override {
    Identity identity;
    for (std::string_view name : model_.names()) {
      const Tensor& t = *model_.find(name).tensor;
      identity.add(name, planish::io::name_of(t.dtype), t.bytes);
    }
    release();
    return identity.hex();
  }

  void release() const noexcept override {
    for (const auto& file : model_.files()) file.release();
  }

 private:
  [[nodiscard]] std::string file_name_of(std::string_view name) const override {
    return hugging_face_names.spell(name);
  }

  [[nodiscard]] ModelTensor get(std::string_view name) const {
    const ModelTensor found = model_.find(file_name_of(name));
    if (found.tensor == nullptr) refuse(file_name_of(name), "is not in this model");
    return found;
  }

  [[nodiscard]] MatrixShape stored_shape(std::string_view name) const override {
    return {get(name).tensor->rows(), get(name).tensor->columns()};
  }

  void convert_rows(std::string_view name, index first, index count, float* out) const override {
    const auto [file, tensor] = get(name);
    if (const planish::Status status = file->read_rows(*tensor, first, count, out); !status.ok())
      throw Error(std::string(status.message()));
  }

  SafetensorsModel model_;
};

}  // namespace

Config config_from_json(const std::string& path, std::string_view text) {
  const Json json = parse_json(path, text);
  const Members members(json, path);
  const std::string type = members.text("model_type", "llama");
  if (type != "llama" && type != "mistral" && type != "qwen2")
    throw Error(path + ": model_type '" + type + "' is not of the Llama family (llama, mistral, qwen2)");
  if (const std::string activation = members.text("hidden_act", "silu"); activation != "silu")
    throw Error(path + ": hidden_act '" + activation + "' is not supported (silu)");
  if (members.has("sliding_window") && members.flag("use_sliding_window", type == "mistral"))
    throw Error(path + ": sliding-window attention is not supported");

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
  config.pairs = RotaryPairs::halves;

  const double turned_part = members.real("partial_rotary_factor", 1.0);
  const auto rotary_size = static_cast<index>(static_cast<double>(config.head_size) * turned_part);
  double theta = members.real("rope_theta", 10000.0);
  if (members.has("rope_parameters")) theta = members.object("rope_parameters").real("rope_theta", theta);
  config.rotary_frequencies = rotary_frequencies(theta, rotary_size);
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (members.has(key)) scale_rotary_frequencies(members.object(key), path, config.rotary_frequencies);
  validate(config, path);
  return config;
}

std::unique_ptr<WeightSource> open_safetensors(const std::string& path) {
  auto model = SafetensorsModel::open(path);
  if (!model) throw Error(std::string(model.status().message()));
  std::filesystem::path config(path);
  std::error_code ignored;
  if (!std::filesystem::is_directory(config, ignored)) config.remove_filename();
  return std::make_unique<SafetensorsWeights>(path, (config / "config.json").string(), *std::move(model));
}

}  // namespace llama
