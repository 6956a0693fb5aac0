#pragma once
// A random model as files in the Hugging Face layout.
#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include <planish/core/half.hpp>
#include <planish/io/safetensors_writer.hpp>

#include "random_model.hpp"

namespace llama::test {

inline std::string hugging_face_name(std::string name) {
  const auto replace = [&](std::string_view from, std::string_view to) {
    if (const std::size_t at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  };
  if (name == "embedding") return "model.embed_tokens.weight";
  if (name == "norm") return "model.norm.weight";
  if (name == "head") return "lm_head.weight";
  const bool is_bias = name.ends_with(".bias");
  if (is_bias) name.resize(name.size() - 5);
  for (const char* p : {"q", "k", "v", "o", "q_norm", "k_norm"})
    if (name.ends_with(std::string(".") + p))
      replace(std::string(".") + p,
              std::string(".self_attn.") + p + (std::string_view(p).ends_with("norm") ? "" : "_proj"));
  for (const char* p : {"gate", "up", "down"})
    if (name.ends_with(p)) replace(std::string(".") + p, std::string(".mlp.") + p + "_proj");
  replace("attention_norm", "input_layernorm");
  replace("mlp_norm", "post_attention_layernorm");
  return "model." + name + (is_bias ? ".bias" : ".weight");
}

/// How a model is written in the Hugging Face layout.
struct HuggingFaceOptions {
  std::string model_type = "qwen2";
  planish::io::Dtype dtype = planish::io::Dtype::f32;  ///< f32, f16 or bf16
  nlohmann::json more = nlohmann::json::object();      ///< of config.json
};

/// Writes a model as two shards with an index and a config.json.
inline void write_model(const RandomModel& model, const std::string& folder, const HuggingFaceOptions& options = {}) {
  const Config& c = model.config();
  std::filesystem::create_directories(folder);
  planish::io::SafetensorsWriter shards[2];
  nlohmann::json map;
  int number = 0;
  model.for_each_tensor([&](const std::string& name, MatrixShape shape, const std::vector<float>& values) {
    const int shard = number++ % 2;
    const std::vector<index> extents =
        shape.rows == 1 ? std::vector<index>{shape.columns} : std::vector<index>{shape.rows, shape.columns};
    std::vector<std::uint16_t> halves;
    for (float value : values)
      halves.push_back(options.dtype == planish::io::Dtype::f16 ? planish::Half::from_float(value).bits
                                                                : planish::BFloat16::from_float(value).bits);
    require(options.dtype == planish::io::Dtype::f32
                ? shards[shard].add_floats(hugging_face_name(name), extents, values)
                : shards[shard].add(hugging_face_name(name), options.dtype, extents, std::as_bytes(std::span(halves))));
    map[hugging_face_name(name)] = "part-" + std::to_string(shard) + ".safetensors";
  });
  for (int shard = 0; shard < 2; ++shard)
    require(shards[shard].write(folder + "/part-" + std::to_string(shard) + ".safetensors"));
  std::ofstream(folder + "/model.safetensors.index.json") << nlohmann::json{{"weight_map", map}};
  nlohmann::json config{{"model_type", options.model_type},
                        {"hidden_size", c.hidden_size},
                        {"intermediate_size", c.ffn_size},
                        {"num_hidden_layers", c.layers},
                        {"num_attention_heads", c.heads},
                        {"num_key_value_heads", c.kv_heads},
                        {"head_dim", c.head_size},
                        {"vocab_size", c.vocabulary},
                        {"max_position_embeddings", c.context},
                        {"rms_norm_eps", 1e-5},
                        {"rope_theta", 100.0}};
  config.update(options.more);
  std::ofstream(folder + "/config.json") << config;
}

}  // namespace llama::test
