// What `report` reads from a calibrated artefact and shows: everything is there, the page stands alone, and files that
// hold no calibration are refused in a sentence.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "command_line.hpp"
#include "fixtures.hpp"
#include "llama/calibration/write_calibrated.hpp"
#include "llama/model_artefact.hpp"
#include "llama/report_page/log_axis.hpp"
#include "llama/report_page/magnitudes.hpp"
#include "llama/report_page/page.hpp"
#include "llama/report_page/record_json.hpp"
#include "messages.hpp"
#include "written_model.hpp"

namespace llama::test {
namespace {

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// A random model in a folder, and what a calibration of it wrote.
struct Calibrated {
  TemporaryFolder folder;
  std::string model = folder.file("model"), artefact = folder.file("model.planish");
  std::vector<CalibratedBlock> blocks;

  explicit Calibrated(std::string_view recipe = "w4a4kv4+flatquant") {
    write_model(RandomModel(7, RotaryPairs::halves), model);
    blocks = write(recipe, artefact, 1);
  }

  std::vector<CalibratedBlock> write(std::string_view recipe, const std::string& out, int threads) const {
    Host host({.model = model, .threads = threads});
    CalibrationJob job;
    job.options.recipe = require(parse_recipe(recipe));
    job.options.method.epochs = 2;
    job.options.window = 16;
    job.windows = calibration_windows(random_ids(5, 200, 97), 3, 16, 1, "random ids");
    job.parts = out + ".parts";
    job.last_layer = host.config().layers;
    calibrate(host.source(), job, host.executor(), [] { return false; });
    std::vector<CalibratedBlock> learned = finished_blocks(host.source(), job);
    write_calibrated(host, job, out, "");
    return learned;
  }
};

/// "" if every tag closes in order and every attribute is quoted; otherwise where it goes wrong.
std::string imbalance(const std::string& page) {
  std::vector<std::string> open;
  std::size_t at = page.find('<', page.find('\n'));  // behind the document type
  for (; at != std::string::npos; at = page.find('<', at + 1)) {
    const std::size_t end = page.find('>', at);
    if (end == std::string::npos) return "a tag without an end";
    const std::string tag = page.substr(at + 1, end - at - 1);
    if (tag.find('<') != std::string::npos) return "< in " + tag;
    if (count(tag, "\"") % 2 != 0) return "an open quote in " + tag;
    if (tag.front() == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return tag + " closes nothing";
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
  }
  for (std::size_t i = page.find('&'); i != std::string::npos; i = page.find('&', i + 1)) {
    const std::string entity = page.substr(i, page.find(';', i) - i + 1);
    if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;") return "a bare &";
  }
  return open.empty() ? "" : open.back() + " stays open";
}

TEST_CASE("an artefact keeps how every block learned and what became of it, the same for any number of threads") {
  const Calibrated is;
  const CalibrationRecord record = read_calibration(is.artefact);
  CHECK(to_string(record.recipe) == "w4a4kv4+flatquant");
  CHECK(record.word("samples") == "3 windows of 16 tokens");
  CHECK(record.word("epochs") == "2");
  CHECK(record.word("objective") == "error of the block's output");
  CHECK(record.word("no such word").empty());
  CHECK(record.file_bytes == static_cast<double>(std::filesystem::file_size(is.artefact)));
  CHECK(record.weight_bits > 4.0);
  CHECK(record.weight_bits < 5.0);
  REQUIRE(record.blocks.size() == is.blocks.size());
  double product = 1.0;
  for (std::size_t i = 0; i < record.blocks.size(); ++i) {
    REQUIRE(is.blocks[i].profile);
    CHECK(record.blocks[i].profile == *is.blocks[i].profile);
    CHECK(record.blocks[i].report.step_losses == is.blocks[i].report.step_losses);
    CHECK(record.blocks[i].report.attempts == is.blocks[i].report.attempts);
    CHECK(record.blocks[i].report.change_of_inputs == is.blocks[i].report.change_of_inputs);
    CHECK(record.blocks[i].report.step_losses.size() == 6);
    product *= record.blocks[i].report.loss_after / record.blocks[i].report.loss_before;
  }
  CHECK(record.improvement() == doctest::Approx(std::pow(product, 0.5)));
  for (const int threads : {2, 3}) {
    const std::string other = is.folder.file("threads.planish");
    (void)is.write("w4a4kv4+flatquant", other, threads);
    CHECK(read_text(other) == read_text(is.artefact));
  }
}

TEST_CASE("the engine computes with a calibrated artefact what it computes with the parameters") {
  const Calibrated is;
  Host host({.model = is.model, .planish = is.artefact, .threads = 1});
  const std::vector<int> ids = random_ids(1, 13, 97);
  const BuildOptions options{.recipe = require(parse_recipe("w4a4kv4+flatquant")), .learned = [&](index layer) {
                               return is.blocks[static_cast<std::size_t>(layer)].parameters;
                             }};
  const std::shared_ptr<const WeightSource> source = WeightSource::open(is.model);
  CHECK(logits_of(host.build(options.recipe), ids, 13) == logits_of(model_of(source, options), ids, 13));
}

TEST_CASE("the page shows every block and site, stands alone and is well formed") {
  for (const char* recipe :
       {"w4a4kv4+flatquant", "w4a16+flatquant", "w16a16kv3+flatquant", "w4a4k4v2g8+flatquant,down=w8a8"}) {
    CAPTURE(recipe);
    const Calibrated is(recipe);
    CalibrationRecord record = read_calibration(is.artefact);
    record.model = "A <b>model</b> & \"more\"";
    const std::string page = report_page(record);
    CHECK(imbalance(page) == "");
    CHECK(contains(page, "A &lt;b&gt;model&lt;/b&gt; &amp; &quot;more&quot;"));
    for (std::size_t block = 0; block < record.blocks.size(); ++block)
      for (SiteKind kind : site_kinds)
        for (const char* what : {"activations", "weights"})
          CHECK(count(page, "aria-label=\"Block " + std::to_string(block) + ", " + page::title_of(kind) + ", " +
                                what) == 3);  // sorted; channel by channel before and after
    const bool has_keys = record.recipe.key_bits < 16;
    CHECK(count(page, "aria-label=\"Block 1, Keys after RoPE") == (has_keys ? 3 : 0));
    CHECK(contains(page, record.word("loss")));
    for (const char* outside : {"http", "<script", "src=", "@import", "url(", "nan", "inf\"", "<link"})
      CHECK_FALSE(contains(page, outside));
    CHECK(page.size() < 400 * 1024);
  }
}

TEST_CASE("one block, a loss of zero and channels of zero do not break the page") {
  const Calibrated is;
  CalibrationRecord record = read_calibration(is.artefact);
  record.blocks.resize(1);
  BlockRecord& block = record.blocks.front();
  block.report.loss_before = block.report.loss_after = 0.0;
  std::fill(block.report.step_losses.begin(), block.report.step_losses.end(), 0.0);
  for (std::vector<float>* zeros :
       {&block.profile.sites[0].activations.before, &block.profile.sites[0].activations.after})
    std::fill(zeros->begin(), zeros->end(), 0.0f);
  const std::string page = report_page(record);
  CHECK(imbalance(page) == "");
  CHECK_FALSE(contains(page, "nan"));
  CHECK(record.improvement() == 1.0);
  block.report.loss_before = 1.0;
  block.report.loss_after = 0.5;
  block.report.change_of_inputs = 4.0;  // inputs on which the start's loss would be 4
  CHECK(record.improvement() == doctest::Approx(0.125));
}

TEST_CASE("the command writes the page and the same figures as JSON") {
  const Calibrated is;
  const std::string out = is.folder.file("report.html"), json = is.folder.file("report.json");
  CHECK(run({"report", "--planish", is.artefact, "--out", out, "--json", json}) == "");
  const CalibrationRecord record = read_calibration(is.artefact);
  CHECK(read_text(out) == report_page(record));
  std::ifstream file(json);
  const nlohmann::json figures = nlohmann::json::parse(file);
  CHECK(figures["recipe"] == "w4a4kv4+flatquant");
  CHECK(figures["method"]["epochs"] == "2");
  REQUIRE(figures["blocks"].size() == 2);
  const nlohmann::json& block = figures["blocks"][1];
  CHECK(block["loss_after"] == record.blocks[1].report.loss_after);
  CHECK(block["step_losses"].size() == 6);
  CHECK(block["sites"].size() == 4);
  CHECK(block["sites"]["down"]["errors"]["learned"] == record.blocks[1].profile.sites[3].errors->learned);
  CHECK(block["sites"]["attn"]["activations"]["max_over_median"][0] ==
        page::peak(record.blocks[1].profile.sites[0].activations.before));
  CHECK(block["keys"]["kurtosis"].size() == 2);
  CHECK(block["clips"].size() == 7);

  std::filesystem::remove(out);
  CHECK(contains(run({"report", "--planish", is.artefact}), "--out FILE.html"));
  CHECK(contains(run({"report", "--planish", is.artefact, "--out", is.folder.file("no/where.html")}), "where.html"));
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("files that hold no calibration are refused, with what they lack and how to get it") {
  const Calibrated is;
  const std::string file = is.folder.file("other.planish"), out = is.folder.file("report.html");
  const auto refusal = [&] { return run({"report", "--planish", file, "--out", out}); };
  CHECK(contains(refusal(), "other.planish"));  // not there

  CHECK(run({"quantize", "--model", is.model, "--recipe", "w4a4kv4+hadamard", "--out", file}) == "");
  CHECK(contains(refusal(), "recipe w4a4kv4+hadamard was not calibrated"));
  CHECK(contains(refusal(), "planish-llama calibrate --text"));

  std::filesystem::copy_file(is.model + "/part-0.safetensors", file, std::filesystem::copy_options::overwrite_existing);
  CHECK(contains(refusal(), "not a planish artefact"));
  std::ofstream(file) << "something else";
  CHECK(contains(refusal(), "other.planish"));

  const auto source = WeightSource::open(is.model);
  const std::string job = "layers.0.calibration.";
  const auto write = [&](const std::function<void(ArtefactOutput&, const AddFloats&)>& add) {
    ArtefactOutput artefact(*source, require(parse_recipe("w4a4kv4+flatquant")));
    artefact.add_floats("layers.0.attention_norm", {1}, {1.0f});
    artefact.set_string("calibration.method", R"({"method":"FlatQuant"})");
    add(artefact, [&](const std::string& name, const std::vector<index>& shape, const std::vector<float>& values) {
      artefact.add_floats(name, shape, values);
    });
    artefact.write(file);
  };
  write([&](ArtefactOutput&, const AddFloats& add) { add_learn_report(add, 0, is.blocks[0].report); });
  CHECK(contains(refusal(), "block 0 was calibrated without its profile"));
  write([&](ArtefactOutput&, const AddFloats& add) { add_profile(add, 0, *is.blocks[0].profile); });
  CHECK(contains(refusal(), "block 0 was calibrated without its losses"));
  write([&](ArtefactOutput&, const AddFloats& add) {
    add(job + "step_losses", {2}, {1.0f, 0.5f});
    add(job + "summary", {3}, {1.0f, 0.5f, 0.1f});
  });
  CHECK(contains(refusal(), "tensor 'layers.0.calibration.summary' has 3 values, not 4"));
  write([&](ArtefactOutput&, const AddFloats& add) {
    add_learn_report(add, 0, is.blocks[0].report);
    add(job + "tokens", {1}, {32.0f});
    add(job + "attn.channels", {5}, {1, 2, 3, 4, 5});
  });
  CHECK(contains(refusal(), "tensor 'layers.0.calibration.attn.channels' has 5 values, not 4"));
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("axes: few round ticks around the values, and ends for what lies outside") {
  const page::LogAxis axis(0.013, 0.54, 100.0, 0.0);
  CHECK(axis.low() <= 0.013);
  CHECK(axis.high() >= 0.54);
  CHECK(axis.ticks().size() >= 4);
  CHECK(axis.ticks().size() <= 7);
  CHECK(axis.at(axis.low()) == doctest::Approx(100.0));
  CHECK(axis.at(axis.high() * 10) == doctest::Approx(0.0));
  CHECK(axis.at(0.0) == doctest::Approx(100.0));
  for (const auto& [least, greatest] :
       {std::pair{1.0, 1.0}, std::pair{1e-30, 1e20}, std::pair{0.0, 0.0}, std::pair{0.99, 1.01}}) {
    const page::LogAxis odd(least, greatest, 0.0, 1.0);
    CHECK(odd.high() > odd.low());
    CHECK(std::isfinite(odd.at(greatest)));
  }
  CHECK(page::plain_tick(0.0) == "0");
  CHECK(page::plain_tick(0.02) == "0.02");
  CHECK(page::plain_tick(2e-5) == "2·10⁻⁵");
  CHECK(page::plain_tick(1e-12) == "10⁻¹²");
  CHECK(page::percent_tick(0.005) == "0.5 %");
  CHECK(page::whole_ticks(29, 6).back() == 25);
  CHECK(page::whole_ticks(0, 6) == std::vector<long long>{0});
  CHECK(page::linear_ticks(9.2, 3) == std::vector<double>{0, 5});
  CHECK(page::coordinate(-0.04) == "0");
  CHECK(page::coordinate(-0.5) == "-.5");
  CHECK(page::coordinate(12.34) == "12.3");
}

}  // namespace
}  // namespace llama::test
