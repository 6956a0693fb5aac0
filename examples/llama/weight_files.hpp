#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <planish/io/sha256.hpp>

#include "weight_source.hpp"

namespace llama {

[[nodiscard]] std::unique_ptr<WeightSource> open_gguf(const std::string& path);
[[nodiscard]] std::unique_ptr<WeightSource> open_safetensors(const std::string& path);

/// Hyper-parameters from the text of a Hugging Face config.json; `path` is for messages.
[[nodiscard]] Config config_from_json(const std::string& path, std::string_view text);

/// What a tensor is called in a kind of file: the canonical name, part by part, through that file's table.
struct TensorNames {
  std::string_view embedding, norm, head;  // whole names
  std::string_view layer_prefix;           // followed by the layer's number and '.'
  std::string_view attention_norm, mlp_norm, q_norm, k_norm, q, k, v, o, gate, up, down;

  /// "layers.3.q.bias" → for example "blk.3.attn_q.bias". Tensors are weights unless the name ends in ".bias".
  [[nodiscard]] std::string spell(std::string_view canonical) const {
    constexpr std::string_view layers = "layers.", bias = ".bias";
    if (canonical == "embedding") return std::string(embedding);
    if (canonical == "norm") return std::string(norm);
    if (canonical == "head") return std::string(head);
    if (!canonical.starts_with(layers)) return std::string(canonical);
    const bool is_bias = canonical.ends_with(bias);
    if (is_bias) canonical.remove_suffix(bias.size());
    canonical.remove_prefix(layers.size());
    const std::size_t dot = canonical.find('.');
    return std::string(layer_prefix) + std::string(canonical.substr(0, dot + 1)) +
           std::string(part(canonical.substr(dot + 1))) + (is_bias ? ".bias" : ".weight");
  }

 private:
  [[nodiscard]] std::string_view part(std::string_view p) const {
    return p == "attention_norm" ? attention_norm
           : p == "mlp_norm"     ? mlp_norm
           : p == "q_norm"       ? q_norm
           : p == "k_norm"       ? k_norm
           : p == "q"            ? q
           : p == "k"            ? k
           : p == "v"            ? v
           : p == "o"            ? o
           : p == "gate"         ? gate
           : p == "up"           ? up
           : p == "down"         ? down
                                 : p;
  }
};

/// Throws Error unless the file's tensors, by the names they have there, are those that the model computes with: every
/// one that it needs, of the shape that its hyper-parameters ask for, and none that it would leave out.
void check_tensors(const WeightSource& source, const TensorNames& spelling, std::span<const std::string_view> names);

/// Tells models apart: SHA-256 over names, storage and a sample of the bytes of every tensor.
class Identity {
 public:
  void add(std::string_view name, std::string_view storage, std::span<const std::byte> bytes) noexcept {
    constexpr std::size_t runs = 64, length = 256;  // evenly spread
    hash_.update(name);
    hash_.update(storage);
    if (bytes.size() <= runs * length) return hash_.update(bytes);
    for (std::size_t i = 0; i < runs; ++i)
      hash_.update(bytes.subspan((bytes.size() - length) / (runs - 1) * i, length));
  }

  [[nodiscard]] std::string hex() noexcept { return hash_.finish_hex(); }

 private:
  planish::io::Sha256 hash_;
};

}  // namespace llama
