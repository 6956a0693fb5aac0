#include <planish/io/gguf.hpp>
#include <planish/io/gguf_codes.hpp>

#include "weight_files.hpp"

namespace llama {
namespace {

using planish::io::GgufFile;
using planish::io::GgufTensor;

constexpr TensorNames gguf_names = {.embedding = "token_embd.weight",
                                    .norm = "output_norm.weight",
                                    .head = "output.weight",
                                    .layer_prefix = "blk.",
                                    .attention_norm = "attn_norm",
                                    .mlp_norm = "ffn_norm",
                                    .q = "attn_q",
                                    .k = "attn_k",
                                    .v = "attn_v",
                                    .o = "attn_output",
                                    .gate = "ffn_gate",
                                    .up = "ffn_up",
                                    .down = "ffn_down"};

class GgufWeights final : public WeightSource {
 public:
  GgufWeights(const std::string& path, GgufFile file) : WeightSource(path), file_(std::move(file)) { read_config(); }

  [[nodiscard]] bool has(std::string_view name) const override { return file_.find(file_name_of(name)) != nullptr; }

  [[nodiscard]] std::string storage(std::string_view name) const override {
    return std::string(tensor(name).layout.name);
  }

  [[nodiscard]] std::size_t stored_bytes(std::string_view name) const override { return tensor(name).bytes.size(); }

  [[nodiscard]] std::optional<planish::Codes> read_codes(std::string_view name) const override {
    if (tensor(name).type() != planish::io::GgufType::q8_0) return std::nullopt;
    return value(planish::io::read_q8_0_codes(path_, tensor(name)));
  }

  [[nodiscard]] std::string identity() const override {
    Identity identity;
    for (const GgufTensor& t : file_.tensors()) identity.add(t.name, t.layout.name, t.bytes);
    release();
    return identity.hex();
  }

  void release() const noexcept override { file_.release(); }

 private:
  [[nodiscard]] std::string file_name_of(std::string_view name) const override { return gguf_names.spell(name); }

  [[nodiscard]] const GgufTensor& tensor(std::string_view name) const {
    const GgufTensor* found = file_.find(file_name_of(name));
    if (found == nullptr) refuse(file_name_of(name), "is not in this file");
    return *found;
  }

  [[nodiscard]] MatrixShape stored_shape(std::string_view name) const override {
    return {tensor(name).rows(), tensor(name).columns()};
  }

  void convert_rows(std::string_view name, index first, index count, float* out) const override {
    if (const planish::Status status = file_.dequantize_rows(tensor(name), first, count, out); !status.ok())
      throw Error(std::string(status.message()));
  }

  void read_config() {
    const auto text = [&](const std::string& key) { return value(file_.get_string(key)); };
    const std::string architecture = text("general.architecture");
    if (architecture != "llama" && architecture != "qwen2")
      throw Error(path_ + ": architecture '" + architecture + "' is not of the Llama family (llama, qwen2)");
    const auto key = [&](std::string_view what) { return architecture + "." + std::string(what); };
    const auto number = [&](std::string_view what) { return static_cast<index>(value(file_.get_integer(key(what)))); };
    const auto number_or = [&](std::string_view what, index otherwise) {
      return file_.has(key(what)) ? number(what) : otherwise;
    };
    const auto real_or = [&](std::string_view what, double otherwise) {
      return file_.has(key(what)) ? value(file_.get_float(key(what))) : otherwise;
    };

    config_.name = file_.has("general.name") ? text("general.name") : architecture;
    config_.hidden_size = number("embedding_length");
    config_.ffn_size = number("feed_forward_length");
    config_.layers = number("block_count");
    config_.heads = number("attention.head_count");
    config_.kv_heads = number_or("attention.head_count_kv", config_.heads);
    config_.head_size = number_or("attention.key_length", config_.heads > 0 ? config_.hidden_size / config_.heads : 0);
    config_.context = number("context_length");
    config_.norm_epsilon = static_cast<float>(real_or("attention.layer_norm_rms_epsilon", 1e-5));
    config_.pairs = architecture == "llama" ? RotaryPairs::interleaved : RotaryPairs::halves;
    config_.vocabulary = stored_shape("embedding").rows;
    config_.tied_head = !has("head");
    if (number_or("expert_count", 0) > 0) throw Error(path_ + ": mixtures of experts are not supported");

    const index rotary_size = number_or("rope.dimension_count", config_.head_size);
    config_.rotary_frequencies = rotary_frequencies(real_or("rope.freq_base", 10000.0), rotary_size);
    if (file_.has(key("rope.scaling.type"))) {
      const std::string scaling = text(key("rope.scaling.type"));
      if (scaling != "none" && scaling != "linear")
        throw Error(path_ + ": RoPE scaling '" + scaling + "' is not supported (none, linear)");
      if (scaling == "linear")
        for (double& frequency : config_.rotary_frequencies) frequency /= real_or("rope.scaling.factor", 1.0);
    }
    if (has("rope_freqs.weight")) {  // one divisor per pair
      const std::vector<float> divisors =
          read("rope_freqs.weight", {1, static_cast<index>(config_.rotary_frequencies.size())});
      for (std::size_t i = 0; i < divisors.size(); ++i)
        config_.rotary_frequencies[i] /= static_cast<double>(divisors[i]);
    }
    validate(config_, path_);
  }

  template <class T>
  [[nodiscard]] T value(planish::Result<T> result) const {
    if (!result) throw Error(std::string(result.status().message()));
    return *std::move(result);
  }

  GgufFile file_;
};

}  // namespace

std::unique_ptr<WeightSource> open_gguf(const std::string& path) {
  auto file = GgufFile::open(path);
  if (!file) throw Error(std::string(file.status().message()));
  return std::make_unique<GgufWeights>(path, *std::move(file));
}

}  // namespace llama
