// Files in the Hugging Face layout, and the commands from their arguments on: what they write, what they refuse, and
// that a refusal writes nothing.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <planish/io/safetensors_writer.hpp>

#include "command_line.hpp"
#include "llama/calibration/write_calibrated.hpp"
#include "small_job.hpp"
#include "written_model.hpp"

namespace llama::test {
namespace {

void check_figures(const std::string& path, const std::vector<std::string>& measured) {
  std::ifstream file(path);
  const nlohmann::json json = nlohmann::json::parse(file);
  CHECK(json.size() == 3);
  CHECK(json["model"].is_string());
  CHECK(json["text"].is_string());
  REQUIRE(json["rows"].is_array());
  for (const auto& row : json["rows"]) {
    CHECK(row.size() == 9);
    CHECK(row["recipe"].is_string());
    for (const char* key : {"perplexity", "kl", "top1", "weight_bits", "model_bytes", "peak_memory_bytes",
                            "prefill_tokens_per_s", "decode_tokens_per_s"}) {
      CAPTURE(key);
      CHECK((row[key].is_number() || row[key].is_null()));
    }
    for (const std::string& key : measured) CHECK(row[key].is_number());
  }
}

TEST_CASE("a sharded Hugging Face folder is the model that was written") {
  const TemporaryFolder folder;
  const auto model = std::make_shared<RandomModel>(7, RotaryPairs::halves);
  write_model(*model, folder.file("model"));
  const std::shared_ptr<const WeightSource> source = WeightSource::open(folder.file("model"));
  CHECK(source->config().heads == 6);
  CHECK(source->has("layers.1.k.bias"));
  const std::vector<int> ids = random_ids(1, 13, 97);
  CHECK(logits_of(model_of(source, "fp32"), ids, 13) == logits_of(model_of(model, "fp32"), ids, 13));

  const std::string identity = source->identity();
  auto other = std::make_shared<RandomModel>(8, RotaryPairs::halves);
  write_model(*other, folder.file("other"));
  CHECK(WeightSource::open(folder.file("other"))->identity() != identity);
}

TEST_CASE("merge writes the artefact of one run from blocks of two folders, and leaves them") {
  const TemporaryFolder folder;
  write_model(RandomModel(7, RotaryPairs::halves), folder.file("model"));
  const std::string model = folder.file("model"), one = folder.file("one.parts"), out = folder.file("m.planish");
  Host host(HostOptions{.model = model, .threads = 1});
  const auto never = [] { return false; };
  CalibrationJob job = small_job(host.source(), one, "w4a4kv4+flatquant");
  calibrate(host.source(), job, {}, never);
  write_calibrated(host, job, folder.file("whole.planish"), folder.file("whole.safetensors"));
  CHECK_FALSE(std::filesystem::exists(one));

  for (const index layer : {0, 1}) {
    job.first_layer = layer;
    job.last_layer = layer + 1;
    job.parts = layer == 0 ? one : out + ".parts";
    calibrate(host.source(), job, {}, never);
  }
  CHECK(contains(run({"merge", "--model", model, "--out", out}), "blocks 0:1 are missing"));
  CHECK_FALSE(std::filesystem::exists(out));
  CHECK(run({"merge", "--model", model, "--out", out, "--parts", one, "--parts", out + ".parts", "--parameters",
             folder.file("m.safetensors")}) == "");
  CHECK(read_text(out) == read_text(folder.file("whole.planish")));
  CHECK(read_text(folder.file("m.safetensors")) == read_text(folder.file("whole.safetensors")));
  CHECK(std::filesystem::exists(one));
}

TEST_CASE("quantize writes an artefact that info reads; the wrong model, recipe or place is refused") {
  const TemporaryFolder folder;
  write_model(RandomModel(7, RotaryPairs::halves), folder.file("model"));
  write_model(RandomModel(8, RotaryPairs::halves), folder.file("other"));
  const std::string model = folder.file("model"), out = folder.file("q.planish"), json = folder.file("figures.json");

  CHECK(run({"quantize", "--model", model, "--recipe", "w4a4kv4+hadamard", "--out", out, "--json", json}) == "");
  check_figures(json, {"model_bytes", "peak_memory_bytes"});
  CHECK(run({"info", "--model", model, "--planish", out, "--json", json}) == "");
  check_figures(json, {"weight_bits", "model_bytes"});
  CHECK(contains(run({"info", "--model", folder.file("other"), "--planish", out}), "another model"));
  CHECK(contains(run({"info", "--model", model, "--planish", out, "--recipe", "w8a8"}), "w4a4kv4+hadamard"));

  const std::string none = folder.file("none.planish");
  struct Refusal {
    std::string recipe, part;
  };
  for (const Refusal& refusal : std::vector<Refusal>{
           {"w4a4+scale", "--calibration-text"}, {"w4a4+flatquant", "--planish"}, {"w4a4+magic", "magic"}}) {
    CAPTURE(refusal.recipe);
    CHECK(contains(run({"quantize", "--model", model, "--recipe", refusal.recipe, "--out", none}), refusal.part));
    CHECK_FALSE(std::filesystem::exists(none));
  }
  CHECK(contains(run({"quantize", "--model", model, "--recipe", "w8a8", "--out", folder.file("no/where.planish")}),
                 "where.planish"));
  CHECK(run({"quantize", "--model", model, "--recipe", "w8a8"}) != "");  // no --out
  CHECK(run({"quantize", "--model", model, "--alpha", "2", "--out", none}) != "");
  CHECK(run({"perplexity", "--model", model, "--text", folder.file("model/config.json")}) != "");  // no tokenizer

  std::filesystem::resize_file(out, std::filesystem::file_size(out) - 3);
  CHECK(contains(run({"info", "--model", model, "--planish", out}), "q.planish"));
}

TEST_CASE("a model that cannot be read whole leaves no artefact behind") {
  const TemporaryFolder folder;
  RandomModel model(7, RotaryPairs::halves);
  model.at("layers.1.down", 2, 3) = std::nanf("");
  write_model(model, folder.file("model"));
  const std::string message =
      run({"quantize", "--model", folder.file("model"), "--recipe", "w8a8", "--out", folder.file("q.planish")});
  CHECK(contains(message, "model.layers.1.mlp.down_proj.weight"));
  CHECK_FALSE(std::filesystem::exists(folder.file("q.planish")));
}

TEST_CASE("text commands on stories260K") {
  const std::string model = shared_data("stories260K/model.safetensors");
  if (model.empty()) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const TemporaryFolder folder;
  const std::string tokenizer = shared_data("stories260K/tok512.bin"), text = shared_data("tinystories/valid.txt"),
                    calibration = shared_data("tinystories/train.head.txt"), json = folder.file("figures.json");
  const std::vector<std::string> common{"--model", model, "--tokenizer", tokenizer, "--json", json};
  const auto with = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), common.begin(), common.end());
    return run(arguments);
  };
  CHECK(with({"perplexity", "--text", text, "--context", "128", "--tokens", "1024", "--recipe", "w8a8kv8"}) == "");
  check_figures(json, {"perplexity", "prefill_tokens_per_s"});
  CHECK(with({"perplexity", "--text", text, "--context", "64", "--tokens", "256", "--decode"}) == "");
  check_figures(json, {"perplexity", "decode_tokens_per_s"});
  CHECK(with({"compare", "--text", text, "--context", "128", "--tokens", "512", "--calibration-text", calibration,
              "--recipe", "w8a8+shift+scale", "--recipe", "w4a4kv4+scale+hadamard"}) == "");
  check_figures(json, {"perplexity", "kl", "top1", "weight_bits", "model_bytes", "peak_memory_bytes",
                       "prefill_tokens_per_s", "decode_tokens_per_s"});
  CHECK(with({"generate", "--prompt", "Once upon a time", "--tokens", "8"}) == "");
  CHECK(contains(with({"generate", "--prompt", "Once", "--tokens", "100000"}), "context"));
  CHECK(contains(with({"generate", "--prompt", "Once", "--chat"}), "chat template"));
}

}  // namespace
}  // namespace llama::test
