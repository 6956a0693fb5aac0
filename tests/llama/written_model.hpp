#pragma once
// A random model as files in the Hugging Face layout.
#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

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
  for (const char* p : {"q", "k", "v", "o"})
    if (name.ends_with(std::string(".") + p)) replace(std::string(".") + p, std::string(".self_attn.") + p + "_proj");
  for (const char* p : {"gate", "up", "down"})
    if (name.ends_with(p)) replace(std::string(".") + p, std::string(".mlp.") + p + "_proj");
  replace("attention_norm", "input_layernorm");
  replace("mlp_norm", "post_attention_layernorm");
  return "model." + name + (is_bias ? ".bias" : ".weight");
}

/// Writes a model as two shards with an index and a config.json.
inline void write_model(const RandomModel& model, const std::string& folder) {
  const Config& c = model.config();
  std::filesystem::create_directories(folder);
  planish::io::SafetensorsWriter shards[2];
  nlohmann::json map;
  int number = 0;
  model.for_each_tensor([&](const std::string& name, MatrixShape shape, const std::vector<float>& values) {
    const int shard = number++ % 2;
    const std::vector<index> extents =
        shape.rows == 1 ? std::vector<index>{shape.columns} : std::vector<index>{shape.rows, shape.columns};
    require(shards[shard].add_floats(hugging_face_name(name), extents, values));
    map[hugging_face_name(name)] = "part-" + std::to_string(shard) + ".safetensors";
  });
  for (int shard = 0; shard < 2; ++shard)
    require(shards[shard].write(folder + "/part-" + std::to_string(shard) + ".safetensors"));
  std::ofstream(folder + "/model.safetensors.index.json") << nlohmann::json{{"weight_map", map}};
  std::ofstream(folder + "/config.json") << nlohmann::json{{"model_type", "qwen2"},
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
}

}  // namespace llama::test
