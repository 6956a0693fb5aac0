// The command calibrate: when it learns, when it finds its artefact there already, and that nothing is lost on the way.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "command_line.hpp"
#include "fixtures.hpp"
#include "llama/calibration/written_files.hpp"
#include "llama/sampled_sequences.hpp"
#include "messages.hpp"
#include "written_model.hpp"

namespace llama::test {
namespace {

/// A small model and text to learn from, drawn already: no tokenizer is needed.
struct Trial {
  TemporaryFolder folder;
  TemporaryCache cache;
  std::string model = folder.file("model"), out = folder.file("x.planish");

  Trial() {
    write_model(RandomModel(41, RotaryPairs::halves), model);
    std::vector<std::vector<int>> sequences;
    for (std::uint64_t s = 0; s < 3; ++s) sequences.push_back(random_ids(s, 16, 97));
    store_sampled_sequences(*WeightSource::open(model), sequences);
  }
  std::string calibrate(const std::vector<std::string>& options = {}) const {
    std::vector<std::string> arguments{"calibrate", "--model",  model, "--out",    out, "--samples",
                                       "2",         "--window", "16",  "--epochs", "1"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run(arguments);
  }
};

/// True if the work leaves the file as it was: its bytes are written nowhere, not even the same ones.
bool is_left_alone(const std::string& path, const std::function<void()>& work) {
  const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  std::filesystem::last_write_time(path, long_ago);
  const auto before = std::filesystem::last_write_time(path);
  work();
  return std::filesystem::exists(path) && std::filesystem::last_write_time(path) == before;
}

TEST_CASE("the same calibration is not done twice, another one replaces the artefact when it is whole") {
  const Trial trial;
  REQUIRE(trial.calibrate() == "");
  CHECK_FALSE(std::filesystem::exists(trial.out + ".parts"));
  CHECK(calibration_of(trial.out).find("2 x 16 tokens") != std::string::npos);
  CHECK(run({"info", "--model", trial.model, "--planish", trial.out}) == "");
  const std::string first = read_text(trial.out);

  CHECK(is_left_alone(trial.out, [&] { CHECK(trial.calibrate() == ""); }));
  CHECK(is_left_alone(trial.out, [&] { CHECK(trial.calibrate({"--blocks", "0:1", "--threads", "1"}) == ""); }));
  CHECK_FALSE(std::filesystem::exists(trial.out + ".parts"));
  CHECK_FALSE(is_left_alone(trial.out, [&] { CHECK(trial.calibrate({"--again"}) == ""); }));
  CHECK(read_text(trial.out) == first);  // and to the same bits

  for (const std::vector<std::string>& other : std::vector<std::vector<std::string>>{
           {"--seed", "2"}, {"--learning-rate", "0.02"}, {"--recipe", "w4a4kv8"}, {"--without", "clip"}}) {
    CAPTURE(other[1]);
    CHECK(is_left_alone(trial.out, [&] {
      std::vector<std::string> half = other;
      half.insert(half.end(), {"--blocks", "1:2"});
      CHECK(trial.calibrate(half) == "");  // not whole yet
    }));
    CHECK_FALSE(is_left_alone(trial.out, [&] { CHECK(trial.calibrate(other) == ""); }));
    CHECK(read_text(trial.out) != first);
    CHECK(is_left_alone(trial.out, [&] { CHECK(trial.calibrate(other) == ""); }));
  }
  CHECK(trial.calibrate() == "");
  CHECK(read_text(trial.out) == first);
}

TEST_CASE("an artefact that is damaged, of a recipe without learning, or of another model is made again") {
  const Trial trial;
  REQUIRE(trial.calibrate() == "");
  const std::string first = read_text(trial.out);
  std::string damaged = first;
  damaged[damaged.size() - 5] = static_cast<char>(damaged[damaged.size() - 5] ^ 1);
  for (const std::string& content : {damaged, first.substr(0, 100), std::string("nothing of the kind")}) {
    std::ofstream(trial.out, std::ios::binary) << content;
    CHECK(trial.calibrate() == "");
    CHECK(read_text(trial.out) == first);
  }

  const std::string other = trial.folder.file("other");
  write_model(RandomModel(42, RotaryPairs::halves), other);
  const auto other_source = WeightSource::open(other);
  store_sampled_sequences(*other_source, {random_ids(0, 16, 97), random_ids(1, 16, 97)});
  CHECK(run({"calibrate", "--model", other, "--out", trial.out, "--samples", "2", "--window", "16", "--epochs", "1"}) ==
        "");
  CHECK(read_text(trial.out) != first);
}

TEST_CASE("further files that are asked for are written, and then there too") {
  const Trial trial;
  REQUIRE(trial.calibrate() == "");
  const std::string parameters = trial.folder.file("p.safetensors"), trace = trial.folder.file("t.safetensors");
  for (const std::vector<std::string>& options : std::vector<std::vector<std::string>>{
           {"--parameters", parameters}, {"--parameters", parameters, "--trace", trace}}) {
    CHECK_FALSE(std::filesystem::exists(options.back()));
    CHECK_FALSE(is_left_alone(trial.out, [&] { CHECK(trial.calibrate(options) == ""); }));
    CHECK(std::filesystem::exists(options.back()));
    CHECK(is_left_alone(trial.out, [&] { CHECK(trial.calibrate(options) == ""); }));
  }
  const std::vector<std::string> in_double{"--trace", trace, "--trace-float64"};
  CHECK_FALSE(is_left_alone(trial.out, [&] { CHECK(trial.calibrate(in_double) == ""); }));
  CHECK(is_left_alone(trial.out, [&] { CHECK(trial.calibrate(in_double) == ""); }));
  CHECK(contains(trial.calibrate({"--trace-float64"}), "--trace"));
  CHECK(calibration_of(parameters) == calibration_of(trial.out));
}

TEST_CASE("a block that learns in double precision as well starts from the same loss and ends near it") {
  const Trial trial;
  const std::string trace = trial.folder.file("t.safetensors");
  for (const char* preset : {"default", "published"}) {
    CAPTURE(preset);
    REQUIRE(trial.calibrate({"--preset", preset, "--batch", "1", "--trace", trace, "--trace-float64"}) == "");
    const auto file = planish::io::SafetensorsFile::open(trace);
    REQUIRE(file);
    REQUIRE(file->find("step_losses_float64") != nullptr);
    const std::vector<float> single = *file->read_floats(*file->find("step_losses")),
                             twice = *file->read_floats(*file->find("step_losses_float64"));
    REQUIRE(single.size() == 2);
    REQUIRE(twice.size() == 2);
    CHECK(twice[0] == doctest::Approx(single[0]).epsilon(1e-3));
    CHECK(twice[1] == doctest::Approx(single[1]).epsilon(0.2));
  }
}

TEST_CASE("learned weights are in the artefact, and what cannot hold them or would round anew is refused at once") {
  const Trial trial;
  REQUIRE(trial.calibrate() == "");
  const std::string plain = read_text(trial.out), parameters = trial.folder.file("p.safetensors");
  CHECK(contains(trial.calibrate({"--weight-epochs", "2", "--parameters", parameters}),
                 "transforms and clips alone do not give a model whose weights were learned"));
  CHECK(contains(trial.calibrate({"--weight-epochs", "2", "--recipe", "w4a4kv4+gptq"}), "lie on their grid"));
  CHECK(contains(trial.calibrate({"--weight-epochs", "2", "--recipe", "w16a16kv4"}), "keeps weights in float"));
  CHECK(contains(trial.calibrate({"--centre", "yes", "--recipe", "w4a16kv4"}), "whose mean costs nothing"));
  CHECK(contains(trial.calibrate({"--weight-inputs", "mixed"}), "without --weight-epochs no weights learn"));
  CHECK(read_text(trial.out) == plain);
  CHECK_FALSE(std::filesystem::exists(trial.out + ".parts"));

  const std::vector<std::string> weights{"--weight-epochs", "2", "--weight-rate", "0.02"};
  CHECK(trial.calibrate(weights) == "");
  CHECK(contains(calibration_of(trial.out), "weights 2 epochs, rate 0.02"));
  const std::string whole = read_text(trial.out);
  CHECK(is_left_alone(trial.out, [&] { CHECK(trial.calibrate(weights) == ""); }));
  CHECK(run({"info", "--model", trial.model, "--planish", trial.out}) == "");

  const std::string merged = trial.folder.file("m.planish");
  for (const char* blocks : {"0:1", "1:2"})  // and put together from pieces
    CHECK(run({"calibrate", "--model", trial.model, "--out", merged, "--samples", "2", "--window", "16", "--epochs",
               "1", "--weight-epochs", "2", "--weight-rate", "0.02", "--blocks", blocks}) == "");
  CHECK(contains(run({"merge", "--model", trial.model, "--out", merged, "--parameters", parameters}),
                 "transforms and clips alone"));
  CHECK(run({"merge", "--model", trial.model, "--out", merged}) == "");
  CHECK(read_text(merged) == whole);
}

TEST_CASE("compare puts the artefact's row after the rows that were asked for") {
  const Trial trial;
  REQUIRE(trial.calibrate() == "");
  const std::string json = trial.folder.file("figures.json");
  SampledText text;
  for (std::uint64_t s = 0; s < 8; ++s) {
    text.calibration.push_back(random_ids(s, SampledText::length, 97));
    text.scoring.push_back(random_ids(s + 8, SampledText::length, 97));
  }
  store_sampled_text(*WeightSource::open(trial.model), text);
  CHECK(run({"compare", "--model", trial.model, "--planish", trial.out, "--recipe", "w8a8", "--context", "32",
             "--tokens", "64", "--json", json}) == "");
  std::ifstream file(json);
  const nlohmann::json figures = nlohmann::json::parse(file);
  REQUIRE(figures["rows"].size() == 3);
  CHECK(figures["rows"][0]["recipe"] == "fp32");
  CHECK(figures["rows"][1]["recipe"] == "w8a8");
  CHECK(figures["rows"][2]["recipe"] == "w4a4kv4+flatquant");
}

}  // namespace
}  // namespace llama::test
