#pragma once
// A random model as a GGUF file.
#include <functional>
#include <string>
#include <vector>

#include <planish/core/half.hpp>
#include <planish/io/gguf_types.hpp>

#include "io/files.hpp"
#include "random_model.hpp"

namespace llama::test {

inline std::string gguf_name(std::string name) {
  if (name == "embedding") return "token_embd.weight";
  if (name == "norm") return "output_norm.weight";
  if (name == "head") return "output.weight";
  const bool is_bias = name.ends_with(".bias");
  if (is_bias) name.resize(name.size() - 5);
  const std::size_t dot = name.rfind('.');
  const std::string layer = "blk" + name.substr(std::string("layers").size(), dot - std::string("layers").size() + 1);
  std::string what = name.substr(dot + 1);
  if (what == "attention_norm")
    what = "attn_norm";
  else if (what == "mlp_norm")
    what = "ffn_norm";
  else if (what == "o")
    what = "attn_output";
  else if (what == "gate" || what == "up" || what == "down")
    what = "ffn_" + what;
  else
    what = "attn_" + what;
  return layer + what + (is_bias ? ".bias" : ".weight");
}

/// A tensor as a file stores it.
struct StoredTensor {
  planish::io::GgufType type = planish::io::GgufType::f32;
  io_test::Bytes bytes;
};

inline StoredTensor as_f32(const std::vector<float>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {planish::io::GgufType::f32, {bytes.begin(), bytes.end()}};
}

/// How a model is written as GGUF. Floats lie as F32 unless `store` says otherwise for matrices.
struct GgufOptions {
  std::string architecture = "qwen2";
  std::function<StoredTensor(const std::string& name, const std::vector<float>& values)> store = {};
  std::function<void(io_test::GgufBuilder&)> more = {};               ///< metadata
  std::vector<std::pair<std::string, std::vector<float>>> vectors{};  ///< further tensors, by their name in the file
};

/// The order of rows that files of the architecture "llama" have, from that of rotate_half: pair i of a head is
/// (2i, 2i + 1) instead of (i, i + half).
inline std::vector<float> interleaved_rows(const std::vector<float>& values, index rows, index head_size) {
  const std::size_t columns = values.size() / static_cast<std::size_t>(rows);
  std::vector<float> made;
  for (index head = 0; head < rows; head += head_size)
    for (index pair = 0; pair < head_size / 2; ++pair)
      for (index row : {head + pair, head + pair + head_size / 2}) {
        const auto from = values.begin() + row * static_cast<index>(columns);
        made.insert(made.end(), from, from + static_cast<index>(columns));
      }
  return made;
}

/// Writes a model whose heads are in the order of rotate_half.
inline void write_gguf(const RandomModel& model, const std::string& path, const GgufOptions& options = {}) {
  const Config& c = model.config();
  io_test::GgufBuilder file;
  const auto key = [&](const char* what) { return options.architecture + "." + what; };
  const auto number = [&](const char* what, index value) {
    file.metadata(key(what), 4, static_cast<std::uint32_t>(value));
  };
  file.string("general.architecture", options.architecture).string("general.name", "random");
  number("embedding_length", c.hidden_size);
  number("feed_forward_length", c.ffn_size);
  number("block_count", c.layers);
  number("attention.head_count", c.heads);
  number("attention.head_count_kv", c.kv_heads);
  number("attention.key_length", c.head_size);
  number("attention.value_length", c.head_size);
  number("rope.dimension_count", c.head_size);
  number("context_length", c.context);
  file.metadata(key("attention.layer_norm_rms_epsilon"), 6, 1e-5f).metadata(key("rope.freq_base"), 6, 100.0f);
  if (options.more) options.more(file);

  io_test::ByteBuilder data;
  const auto add = [&](const std::string& name, MatrixShape shape, const StoredTensor& stored) {
    std::vector<std::uint64_t> extents{static_cast<std::uint64_t>(shape.columns)};
    if (shape.rows > 1) extents.push_back(static_cast<std::uint64_t>(shape.rows));
    data.pad_to(32);
    file.tensor(name, extents, static_cast<std::uint32_t>(stored.type), data.bytes.size());
    data.bytes.insert(data.bytes.end(), stored.bytes.begin(), stored.bytes.end());
  };
  model.for_each_tensor([&](const std::string& name, MatrixShape shape, const std::vector<float>& values) {
    const bool turned =
        name.ends_with(".q") || name.ends_with(".k") || name.ends_with(".q.bias") || name.ends_with(".k.bias");
    const bool is_vector = shape.rows == 1;
    std::vector<float> rows = values;
    if (options.architecture == "llama" && turned)
      rows = interleaved_rows(values, is_vector ? shape.columns : shape.rows, c.head_size);
    add(gguf_name(name), shape, options.store && !is_vector ? options.store(name, rows) : as_f32(rows));
  });
  for (const auto& [name, values] : options.vectors) add(name, {1, static_cast<index>(values.size())}, as_f32(values));
  io_test::write_bytes(path, file.build(data.bytes));
}

}  // namespace llama::test
