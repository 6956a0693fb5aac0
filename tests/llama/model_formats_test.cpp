// The same random model in every format and type, against a plain pass in double.
#include <doctest/doctest.h>

#include <planish/io/gguf_blocks.hpp>

#include "fixtures.hpp"
#include "messages.hpp"
#include "plain_forward.hpp"
#include "written_gguf.hpp"
#include "written_model.hpp"

namespace llama::test {
namespace {

using planish::io::GgufType;

std::vector<float> logits_of_file(const std::string& path, const std::vector<int>& ids) {
  const std::shared_ptr<const WeightSource> source = WeightSource::open(path);
  return logits_of(build_model(source, {}, {}, {}), ids, 7);
}

/// Rounds every value to what the type can hold.
void round_to(RandomModel& model, planish::io::Dtype dtype) {
  std::vector<std::string> names;
  model.for_each_tensor(
      [&](const std::string& name, MatrixShape, const std::vector<float>&) { names.push_back(name); });
  for (const std::string& name : names)
    for (float& value : model.values(name))
      value = dtype == planish::io::Dtype::f16 ? planish::Half::from_float(value).to_float()
                                               : planish::BFloat16::from_float(value).to_float();
}

struct Family {
  const char *model_type, *architecture;
  bool biases, head_norms;
};
constexpr Family families[] = {{"llama", "llama", false, false},
                               {"llama", "llama", true, false},  // "attention_bias": true
                               {"mistral", "llama", false, false},
                               {"qwen2", "qwen2", true, false},
                               {"qwen3", "qwen3", false, true}};

RandomModel random_model_of(const Family& family, bool tied) {
  Config config = RandomModel::small(RotaryPairs::halves, tied);
  config.head_norms = family.head_norms;
  return RandomModel(41, config, family.biases);
}

HuggingFaceOptions options_of(const Family& family) {
  HuggingFaceOptions options{.model_type = family.model_type};
  if (options.model_type == "mistral") options.more["sliding_window"] = nullptr;
  return options;
}

TEST_CASE("every family: both formats and a plain pass in double give the same logits") {
  const TemporaryFolder folder;
  const auto ids = random_ids(8, 19, 97);
  int number = 0;
  for (const Family& family : families)
    for (bool tied : {false, true}) {
      CAPTURE(family.model_type);
      CAPTURE(tied);
      const RandomModel model = random_model_of(family, tied);
      const std::vector<float> exact = plain_logits(model, ids);
      const std::string path = folder.file(std::to_string(number++));
      write_model(model, path, options_of(family));
      write_gguf(model, path + ".gguf", {.architecture = family.architecture});
      CHECK(relative_difference(logits_of_file(path, ids), exact) < 1e-5);
      CHECK(relative_difference(logits_of_file(path + ".gguf", ids), exact) < 1e-5);
      CHECK(WeightSource::open(path)->config().tied_head == tied);
      CHECK(WeightSource::open(path + "/model.safetensors.index.json")->config().heads == 6);
    }
}

TEST_CASE("what the families differ in matters to the logits") {
  const auto ids = random_ids(8, 19, 97);
  const std::vector<float> plain = plain_logits(random_model_of(families[0], false), ids);
  RandomModel normed = random_model_of(families[4], false);
  for (const char* norm : {"layers.0.q_norm", "layers.1.k_norm"})
    for (float& gain : normed.values(norm)) gain = 1.0f;
  CHECK(relative_difference(plain_logits(normed, ids), plain) > 0.05);
  CHECK(relative_difference(plain_logits(random_model_of(families[1], false), ids), plain) > 0.05);
}

TEST_CASE("half and bfloat16 shards, and GGUF matrices of both, give the logits of their rounded values") {
  const TemporaryFolder folder;
  const auto ids = random_ids(8, 19, 97);
  for (const auto& [dtype, type] :
       {std::pair{planish::io::Dtype::f16, GgufType::f16}, std::pair{planish::io::Dtype::bf16, GgufType::bf16}}) {
    RandomModel model = random_model_of(families[3], false);
    round_to(model, dtype);
    const std::vector<float> exact = plain_logits(model, ids);
    const std::string path = folder.file(dtype == planish::io::Dtype::f16 ? "f16" : "bf16");
    write_model(model, path, {.dtype = dtype});
    const auto store = [type = type](const std::string&, const std::vector<float>& values) {
      StoredTensor stored{type, {}};
      for (float value : values) {
        const std::uint16_t bits =
            type == GgufType::f16 ? planish::Half::from_float(value).bits : planish::BFloat16::from_float(value).bits;
        stored.bytes.push_back(static_cast<std::byte>(bits & 255));
        stored.bytes.push_back(static_cast<std::byte>(bits >> 8));
      }
      return stored;
    };
    write_gguf(model, path + ".gguf", {.store = store});
    CHECK(relative_difference(logits_of_file(path, ids), exact) < 1e-5);
    CHECK(logits_of_file(path + ".gguf", ids) == logits_of_file(path, ids));
  }
}

/// Random blocks of a type whose values are near those of a trained matrix.
io_test::Bytes random_blocks(GgufType type, std::size_t values, planish::Random& random) {
  const auto& layout = *planish::io::gguf_layout(static_cast<std::uint32_t>(type));
  io_test::Bytes bytes(values / static_cast<std::size_t>(layout.values) * static_cast<std::size_t>(layout.bytes));
  for (auto& byte : bytes) byte = static_cast<std::byte>(random.below(256));
  const bool minimum = type == GgufType::q4_1 || type == GgufType::q5_1 || type == GgufType::q2_k ||
                       type == GgufType::q4_k || type == GgufType::q5_k;
  const bool is_k = layout.values == 256;
  const std::size_t at = type == GgufType::q2_k ? 80 : type == GgufType::q3_k ? 108 : type == GgufType::q6_k ? 208 : 0;
  for (std::size_t block = 0; block < bytes.size(); block += static_cast<std::size_t>(layout.bytes))
    for (std::size_t half = 0; half < (minimum ? 2u : 1u); ++half) {
      const double spread = is_k ? 3e-5 : 3e-3;
      const auto bits = planish::Half::from_float(static_cast<float>(spread * (1.0 + random.uniform()))).bits;
      std::memcpy(bytes.data() + block + at + 2 * half, &bits, 2);
    }
  return bytes;
}

TEST_CASE("a model in each quantized type of GGUF gives the logits of its values in F32") {
  const TemporaryFolder folder;
  Config config = RandomModel::small(RotaryPairs::halves);
  config.hidden_size = config.ffn_size = 256;
  config.heads = 4;
  config.head_size = 64;
  config.vocabulary = 33;
  config.rotary_frequencies = rotary_frequencies(100.0, 64);
  const RandomModel model(42, config);
  const auto ids = random_ids(9, 6, 33);
  std::vector<std::vector<float>> all;
  for (GgufType type : {GgufType::q4_0, GgufType::q4_1, GgufType::q5_0, GgufType::q5_1, GgufType::q2_k, GgufType::q3_k,
                        GgufType::q4_k, GgufType::q5_k, GgufType::q6_k}) {
    const auto& layout = *planish::io::gguf_layout(static_cast<std::uint32_t>(type));
    CAPTURE(layout.name);
    planish::Random random(43);
    std::vector<std::pair<std::string, std::vector<float>>> matrices;
    const auto quantized = [&](const std::string& name, const std::vector<float>& values) {
      StoredTensor stored{type, random_blocks(type, values.size(), random)};
      std::vector<float> back(values.size());
      planish::io::dequantize_blocks(type, stored.bytes.data(), static_cast<index>(values.size()) / layout.values,
                                     back.data());
      matrices.emplace_back(name, back);
      return stored;
    };
    const std::string path = folder.file(std::string(layout.name));
    write_gguf(model, path + ".gguf", {.store = quantized});
    const auto source = WeightSource::open(path + ".gguf");
    CHECK(source->storage("layers.1.down") == layout.name);
    std::size_t next = 0;
    write_gguf(model, path + "-f32.gguf", {.store = [&](const std::string& name, const std::vector<float>&) {
                 REQUIRE(matrices[next].first == name);
                 return as_f32(matrices[next++].second);
               }});
    const std::vector<float> logits = logits_of_file(path + ".gguf", ids);
    CHECK(logits == logits_of_file(path + "-f32.gguf", ids));
    for (float value : logits) REQUIRE(std::isfinite(value));
    for (const auto& other : all) CHECK(relative_difference(logits, other) > 0.01);
    all.push_back(logits);
  }
}

TEST_CASE("RoPE scaling: linear and llama3 in both formats, as metadata and as rope_freqs.weight") {
  const TemporaryFolder folder;
  const auto ids = random_ids(8, 40, 97);
  RandomModel model = random_model_of(families[0], false);
  const auto with = [&](const std::string& name, const nlohmann::json& scaling, const char* key) {
    HuggingFaceOptions options{.model_type = "llama"};
    options.more[key] = scaling;
    write_model(model, folder.file(name), options);
    return logits_of_file(folder.file(name), ids);
  };
  const auto with_frequencies = [&](auto&& change) {
    Config config = model.config();
    for (double& frequency : config.rotary_frequencies) change(frequency);
    return plain_logits(RandomModel(41, config, false), ids);
  };

  const auto linear = with_frequencies([](double& f) { f /= 4.0; });
  CHECK(relative_difference(linear, plain_logits(model, ids)) > 0.01);
  CHECK(relative_difference(with("linear", {{"type", "linear"}, {"factor", 4.0}}, "rope_scaling"), linear) < 1e-5);
  for (const bool old : {false, true}) {
    write_gguf(model, folder.file("linear.gguf"),
               {.architecture = "llama", .more = [old](io_test::GgufBuilder& file) {
                  if (old) return void(file.metadata("llama.rope.scale_linear", 6, 4.0f));
                  file.string("llama.rope.scaling.type", "linear").metadata("llama.rope.scaling.factor", 6, 4.0f);
                }});
    CHECK(relative_difference(logits_of_file(folder.file("linear.gguf"), ids), linear) < 1e-5);
  }

  // Frequencies 1, 0.316, 0.1, 0.032 turn 5.1, 1.6, 0.51 and 0.16 times in 32 tokens: kept, blended, slowed, slowed.
  std::vector<float> divisors;
  const auto llama3 = with_frequencies([&](double& f) {
    const double before = f, turns = 32.0 * f / (2.0 * std::numbers::pi);
    const double kept = std::clamp((turns - 1.0) / 3.0, 0.0, 1.0);
    f = kept * f + (1.0 - kept) * f / 8.0;
    divisors.push_back(static_cast<float>(before / f));
  });
  CHECK(divisors[0] == 1.0f);
  CHECK(divisors[3] == 8.0f);
  const nlohmann::json scaling{{"rope_type", "llama3"},
                               {"factor", 8.0},
                               {"low_freq_factor", 1.0},
                               {"high_freq_factor", 4.0},
                               {"original_max_position_embeddings", 32},
                               {"rope_theta", 100.0}};
  CHECK(relative_difference(with("llama3", scaling, "rope_scaling"), llama3) < 1e-5);
  CHECK(relative_difference(with("llama3-new", scaling, "rope_parameters"), llama3) < 1e-5);
  write_gguf(model, folder.file("llama3.gguf"),
             {.architecture = "llama", .vectors = {{"rope_freqs.weight", divisors}}});
  CHECK(relative_difference(logits_of_file(folder.file("llama3.gguf"), ids), llama3) < 1e-5);
  divisors[2] = 0.0f;
  write_gguf(model, folder.file("bad.gguf"), {.architecture = "llama", .vectors = {{"rope_freqs.weight", divisors}}});
  CHECK(contains(message_of([&] { (void)WeightSource::open(folder.file("bad.gguf")); }), "is not positive"));
}

TEST_CASE("a decoder without the names of a language model around it loads; its head must be tied") {
  const TemporaryFolder folder;
  RandomModel model = random_model_of(families[3], true);
  const auto ids = random_ids(8, 19, 97);
  planish::io::SafetensorsWriter file;
  model.for_each_tensor([&](const std::string& name, MatrixShape shape, const std::vector<float>& values) {
    const std::string bare = hugging_face_name(name).substr(std::string("model.").size());
    require(file.add_floats(bare, {shape.rows, shape.columns}, values));
  });
  write_model(model, folder.file("m"));
  std::filesystem::remove(folder.file("m/model.safetensors.index.json"));
  require(file.write(folder.file("m/model.safetensors")));
  CHECK(relative_difference(logits_of_file(folder.file("m"), ids), plain_logits(model, ids)) < 1e-5);
}

TEST_CASE("architectures, parts and tensors beyond the family are refused in one sentence") {
  const TemporaryFolder folder;
  const RandomModel model = random_model_of(families[0], false);
  const auto message = [&](const GgufOptions& options) {
    write_gguf(model, folder.file("m.gguf"), options);
    return message_of([&] { (void)WeightSource::open(folder.file("m.gguf")); });
  };
  CHECK(contains(message({.architecture = "gemma2"}),
                 "m.gguf: architecture 'gemma2' is not of the Llama family (llama, qwen2, qwen3)"));
  CHECK(contains(message({.architecture = "llama", .vectors = {{"blk.1.post_ffw_norm.weight", {1.0f}}}}),
                 "tensor 'blk.1.post_ffw_norm.weight': is no part of a model of the Llama family"));
  CHECK(contains(message({.architecture = "qwen2"}), "tensor 'blk.0.attn_q.bias': is not in this file"));
  CHECK(contains(message({.architecture = "qwen3"}), "tensor 'blk.0.attn_q_norm.weight': is not in this file"));
  const auto with = [&](auto&& add) { return message({.architecture = "llama", .more = add}); };
  CHECK(contains(with([](auto& f) { f.metadata("split.count", 2, std::uint16_t{3}); }), "one of 3 parts"));
  CHECK(contains(with([](auto& f) { f.metadata("llama.attention.sliding_window", 4, 16u); }), "slides over 16 tokens"));
  CHECK(with([](auto& f) { f.metadata("llama.attention.sliding_window", 4, 64u); }) == "no error");
  CHECK(contains(with([](auto& f) { f.string("llama.rope.scaling.type", "yarn"); }), "'yarn' is not supported"));
  CHECK(contains(with([](auto& f) { f.metadata("llama.expert_count", 4, 8u); }), "mixtures of experts"));

  const auto config = [&](const char* type, const nlohmann::json& more) {
    write_model(model, folder.file("m"), {.model_type = type, .more = more});
    return message_of([&] { (void)WeightSource::open(folder.file("m")); });
  };
  CHECK(config("llama", nlohmann::json::object()) == "no error");
  CHECK(contains(config("gemma2", nlohmann::json::object()), "(llama, mistral, qwen2, qwen3)"));
  CHECK(contains(config("mistral", {{"sliding_window", 16}}), "slides over 16 tokens"));
  CHECK(config("mistral", {{"sliding_window", 64}}) == "no error");
  CHECK(contains(config("mistral", {{"max_position_embeddings", 8192}}), "slides over 4096 tokens"));
  CHECK(config("llama", {{"sliding_window", 16}, {"use_sliding_window", false}}) == "no error");
  CHECK(contains(config("llama", {{"quantization_config", {{"quant_method", "gptq"}}}}), "quantized (gptq)"));
  CHECK(contains(config("llama", {{"attention_bias", true}}), "'model.layers.0.self_attn.q_proj.bias': is not in"));
  CHECK(contains(config("llama", {{"tie_word_embeddings", true}}), "no error"));
  CHECK(contains(config("llama", {{"num_hidden_layers", 1}}), "is no part of a model of the Llama family"));
  CHECK(contains(config("llama", {{"head_dim", 10}}), "the model's hyper-parameters ask for"));
}

}  // namespace
}  // namespace llama::test
