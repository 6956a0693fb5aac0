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
                                    .q_norm = "attn_q_norm",
                                    .k_norm = "attn_k_norm",
                                    .q = "attn_q",
                                    .k = "attn_k",
                                    .v = "attn_v",
                                    .o = "attn_output",
                                    .gate = "ffn_gate",
                                    .up = "ffn_up",
                                    .down = "ffn_down"};

class GgufWeights final : public WeightSource {
 public:
  GgufWeights(const std::string& path, GgufFile file) : WeightSource(path), file_(std::move(file)) {
    read_config();
    std::vector<std::string_view> names;
    for (const GgufTensor& t : file_.tensors()) names.push_back(t.name);
    check_tensors(*this, gguf_names, names);
  }

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
    architecture_ = text("general.architecture");
    const bool known = architecture_ == "llama" || architecture_ == "qwen2" || architecture_ == "qwen3";
    if (!known) fail(path_, ": architecture '", architecture_, "' is not of the Llama family (llama, qwen2, qwen3)");
    if (const index parts = file_.has("split.count") ? value(file_.get_integer("split.count")) : 1; parts > 1)
      fail(path_, ": is one of ", parts, " parts of a model; join them first, as llama.cpp's gguf-split --merge does");
    if (number_or("expert_count", 0) > 0) fail(path_, ": mixtures of experts are not supported");

    config_.name = file_.has("general.name") ? text("general.name") : architecture_;
    config_.hidden_size = number("embedding_length");
    config_.ffn_size = number("feed_forward_length");
    config_.layers = number("block_count");
    config_.heads = number("attention.head_count");
    config_.kv_heads = number_or("attention.head_count_kv", config_.heads);
    config_.head_size = number_or("attention.key_length", config_.heads > 0 ? config_.hidden_size / config_.heads : 0);
    config_.context = number("context_length");
    config_.norm_epsilon = static_cast<float>(real_or("attention.layer_norm_rms_epsilon", 1e-5));
    config_.pairs = architecture_ == "llama" ? RotaryPairs::interleaved : RotaryPairs::halves;
    config_.vocabulary = stored_shape("embedding").rows;
    config_.tied_head = !has("head");
    config_.attention_biases = architecture_ == "qwen2";
    config_.head_norms = architecture_ == "qwen3";
    if (const index size = number_or("attention.value_length", config_.head_size); size != config_.head_size)
      fail(path_, ": heads of ", config_.head_size, " key and ", size, " value channels are not supported");
    if (const index window = number_or("attention.sliding_window", 0); window > 0 && window < config_.context)
      fail(path_, ": attention slides over ", window, " tokens, fewer than the context of ", config_.context,
           ", which is not supported");
    read_rotary_frequencies();
    validate(config_, path_);
  }

  void read_rotary_frequencies() {
    const index rotary_size = number_or("rope.dimension_count", config_.head_size);
    if (rotary_size < 0 || rotary_size > config_.head_size)
      fail(path_, ": RoPE turns ", rotary_size, " channels of heads of ", config_.head_size);
    config_.rotary_frequencies = rotary_frequencies(real_or("rope.freq_base", 10000.0), rotary_size);
    const std::string scaling = file_.has(key("rope.scaling.type")) ? text(key("rope.scaling.type")) : "";
    if (!scaling.empty() && scaling != "none" && scaling != "linear")
      fail(path_, ": RoPE scaling '", scaling, "' is not supported (none, linear, and rope_freqs.weight)");
    double factor = scaling.empty() ? real_or("rope.scale_linear", 1.0) : 1.0;  // older files have that key alone
    if (scaling == "linear") factor = real_or("rope.scaling.factor", 1.0);
    if (!(factor > 0.0)) fail(path_, ": the factor of RoPE scaling is ", factor);
    for (double& frequency : config_.rotary_frequencies) frequency /= factor;
    if (!has("rope_freqs.weight")) return;  // one divisor per pair: how Llama 3.1's rule is written down
    const auto divisors = read("rope_freqs.weight", {1, static_cast<index>(config_.rotary_frequencies.size())});
    for (std::size_t i = 0; i < divisors.size(); ++i) {
      if (!(divisors[i] > 0.0f)) refuse("rope_freqs.weight", "holds a divisor that is not positive");
      config_.rotary_frequencies[i] /= static_cast<double>(divisors[i]);
    }
  }

  // Metadata of the architecture by what follows its name; `text` takes whole keys.
  [[nodiscard]] std::string key(std::string_view what) const { return architecture_ + "." + std::string(what); }
  [[nodiscard]] std::string text(const std::string& whole_key) const { return value(file_.get_string(whole_key)); }
  [[nodiscard]] index number(std::string_view what) const {
    return static_cast<index>(value(file_.get_integer(key(what))));
  }
  [[nodiscard]] index number_or(std::string_view what, index otherwise) const {
    return file_.has(key(what)) ? number(what) : otherwise;
  }
  [[nodiscard]] double real_or(std::string_view what, double otherwise) const {
    return file_.has(key(what)) ? value(file_.get_float(key(what))) : otherwise;
  }

  template <class T>
  [[nodiscard]] T value(planish::Result<T> result) const {
    if (!result) throw Error(std::string(result.status().message()));
    return *std::move(result);
  }

  GgufFile file_;
  std::string architecture_;
};

}  // namespace

std::unique_ptr<WeightSource> open_gguf(const std::string& path) {
  auto file = GgufFile::open(path);
  if (!file) throw Error(std::string(file.status().message()));
  return std::make_unique<GgufWeights>(path, *std::move(file));
}

}  // namespace llama
