#include "calibration_record.hpp"

#include <cmath>
#include <filesystem>

#include <planish/io/artefact.hpp>

#include "../require.hpp"

namespace llama {
namespace {

namespace io = planish::io;

constexpr std::string_view remedy = "; make one with: planish-llama calibrate --text FILE --out FILE.planish";

/// Bits of codes, scales and zero points per weight, over all matrices that have codes or floats.
double bits_per_weight(const io::Artefact& file) {
  double bits = 0.0, weights = 0.0;
  for (const std::string& name : file.codes_names()) {
    const std::string* text = file.find_string(std::string(io::artefact_key::codes) + name);
    io::CodesDescription is;
    if (text == nullptr || !io::CodesDescription::from_json(*text, is))
      fail(file.path(), ": codes '", name, "': the description is not understood");
    const auto count = static_cast<double>(is.rows) * static_cast<double>(is.columns);
    weights += count;
    bits += count * is.bits;
    for (const char* side : {".scales", ".zero_points"})
      if (const io::Tensor* tensor = file.find(name + side)) bits += 8.0 * static_cast<double>(tensor->bytes.size());
  }
  for (const io::Tensor& tensor : file.tensors())
    if (tensor.name.ends_with(".weights")) {
      bits += 8.0 * static_cast<double>(tensor.bytes.size());
      weights += static_cast<double>(tensor.bytes.size()) / sizeof(float);
    }
  return weights > 0.0 ? bits / weights : 0.0;
}

std::string string_of(const io::Artefact& file, std::string_view key) {
  const std::string* text = file.find_string(key);
  return text == nullptr ? std::string() : *text;
}

index count_layers(const io::Artefact& file) {
  index layers = 0;
  while (file.find(layer_tensor(layers, "attention_norm")) != nullptr) ++layers;
  return layers;
}

}  // namespace

double CalibrationRecord::improvement() const {
  double sum = 0.0;
  for (const BlockRecord& block : blocks)
    if (block.improvement() > 0.0) sum += std::log(block.improvement());
  return blocks.empty() ? 1.0 : std::exp(sum / static_cast<double>(blocks.size()));
}

std::string CalibrationRecord::word(const std::string& what) const {
  for (const auto& [key, is] : method)
    if (key == what) return is;
  return {};
}

CalibrationRecord read_calibration(const std::string& path) {
  const io::Artefact file = require(io::Artefact::open(path));
  CalibrationRecord made{.path = path,
                         .model = string_of(file, "model"),
                         .job = string_of(file, "calibration"),
                         .recipe = require(parse_recipe(file.recipe()), path)};
  const index layers = count_layers(file);
  if (layers == 0) fail(path, ": holds no blocks of a model", remedy);
  const std::string* method = file.find_string("calibration.method");
  if (method == nullptr)
    fail(path, ": recipe ", to_string(made.recipe), " was not calibrated, so there is nothing to report", remedy);
  made.method = read_method(*method, path);
  made.file_bytes = static_cast<double>(std::filesystem::file_size(path));
  made.weight_bits = bits_per_weight(file);
  const FindFloats find = [&](const std::string& name) -> std::optional<std::vector<float>> {
    const io::Tensor* tensor = file.find(name);
    if (tensor == nullptr) return std::nullopt;
    return require(file.read_floats(*tensor));
  };
  for (index layer = 0; layer < layers; ++layer) {
    const auto report = read_learn_report(find, layer, path);
    auto profile = read_profile(find, layer, path);
    if (!report || !profile)
      fail(path, ": block ", layer, " was calibrated without ", report ? "its profile" : "its losses",
           " being kept; calibrate again to get a report");
    made.blocks.push_back({*report, *std::move(profile)});
  }
  return made;
}

}  // namespace llama
