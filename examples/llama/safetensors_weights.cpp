#include <filesystem>

#include <planish/io/model_index.hpp>

#include "json_members.hpp"
#include "text_source.hpp"
#include "weight_files.hpp"

namespace llama {
namespace {

using planish::io::ModelTensor;
using planish::io::SafetensorsModel;
using planish::io::Tensor;

constexpr TensorNames hugging_face_names = {.embedding = "model.embed_tokens.weight",
                                            .norm = "model.norm.weight",
                                            .head = "lm_head.weight",
                                            .layer_prefix = "model.layers.",
                                            .attention_norm = "input_layernorm",
                                            .mlp_norm = "post_attention_layernorm",
                                            .q_norm = "self_attn.q_norm",
                                            .k_norm = "self_attn.k_norm",
                                            .q = "self_attn.q_proj",
                                            .k = "self_attn.k_proj",
                                            .v = "self_attn.v_proj",
                                            .o = "self_attn.o_proj",
                                            .gate = "mlp.gate_proj",
                                            .up = "mlp.up_proj",
                                            .down = "mlp.down_proj"};

/// Files of the decoder alone, without the language model around it.
constexpr TensorNames bare_names = [] {
  TensorNames names = hugging_face_names;
  names.embedding = "embed_tokens.weight";
  names.norm = "norm.weight";
  names.layer_prefix = "layers.";
  return names;
}();

class SafetensorsWeights final : public WeightSource {
 public:
  SafetensorsWeights(const std::string& path, const std::string& config_path, SafetensorsModel model)
      : WeightSource(path), model_(std::move(model)) {
    const std::string text = read_text(config_path);
    config_ = config_from_json(config_path, text);
    if (model_.find(hugging_face_names.embedding).tensor == nullptr) names_ = &bare_names;
    if (!has("head") && !says_untied(config_path, text)) config_.tied_head = true;
    check_tensors(*this, *names_, model_.names());
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
  [[nodiscard]] std::string file_name_of(std::string_view name) const override { return names_->spell(name); }

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

  /// A file may leave the choice out; then the head is tied if it is not there.
  [[nodiscard]] static bool says_untied(const std::string& path, std::string_view text) {
    const nlohmann::json json = parse_json(path, text);
    return !JsonMembers(json, path).flag("tie_word_embeddings", true);
  }

  SafetensorsModel model_;
  const TensorNames* names_ = &hugging_face_names;
};

}  // namespace

std::unique_ptr<WeightSource> open_safetensors(const std::string& path) {
  auto model = SafetensorsModel::open(path);
  if (!model) throw Error(std::string(model.status().message()));
  std::filesystem::path config(path);
  std::error_code ignored;
  if (!std::filesystem::is_directory(config, ignored)) config.remove_filename();
  return std::make_unique<SafetensorsWeights>(path, (config / "config.json").string(), *std::move(model));
}

}  // namespace llama
