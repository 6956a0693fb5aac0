#include "parts_folder.hpp"

#include <cstdio>
#include <filesystem>
#include <utility>

#include <planish/io/artefact_format.hpp>
#include <planish/io/safetensors.hpp>
#include <planish/io/safetensors_writer.hpp>

#include "../require.hpp"
#include "block_record.hpp"

namespace llama {
namespace {

namespace calibration = planish::calibration;
namespace io = planish::io;

}  // namespace

PartsFolder::PartsFolder(std::string path, std::string job, io::Metadata facts)
    : path_(std::move(path)), job_(std::move(job)), facts_(std::move(facts)) {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (error) fail(path_, ": cannot make the folder: ", error.message());
}

std::string PartsFolder::file_in(const std::string& folder, index layer) {
  char name[40];
  std::snprintf(name, sizeof name, "/layer-%04td.safetensors", layer);
  return folder + name;
}

bool PartsFolder::has(index layer) const {
  const std::string file = file_of(layer);
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return false;
  const auto part = require(io::SafetensorsFile::open(file));
  const std::string* job = part.find_metadata("job");
  if (job == nullptr || *job != job_)
    fail(file, ": belongs to another calibration; finish that one with its own options, delete the folder, or choose ",
         "another --out. It says: ", job == nullptr ? "nothing" : *job);
  return true;
}

/// Every file holds one block, as layer 0.
void PartsFolder::write(index layer, const CalibratedBlock& block) const {
  io::SafetensorsWriter writer;
  require(writer.set_metadata("job", job_));
  require(writer.set_metadata("layer", std::to_string(layer)));
  for (const auto& [key, text] : facts_) require(writer.set_metadata(key, text));
  require(calibration::add_flatquant(writer, 0, block.parameters));
  const AddFloats add = [&](const std::string& name, const std::vector<index>& shape,
                            const std::vector<float>& values) { require(writer.add_floats(name, shape, values)); };
  add_learn_report(add, 0, block.report);
  if (block.profile) add_profile(add, 0, *block.profile);
  require(writer.set_metadata(std::string(io::artefact_key::content),
                              io::artefact_hash(writer.metadata(), writer.tensors())));
  require(writer.write(file_of(layer)));
}

CalibratedBlock PartsFolder::read(index layer, const calibration::FlatQuantSizes& sizes) const {
  const std::string file = file_of(layer);
  const auto part = require(io::SafetensorsFile::open(file));
  if (const std::string* hash = part.find_metadata(io::artefact_key::content);
      hash != nullptr && *hash != io::artefact_hash(part.metadata(), part.tensors()))
    fail(file, ": is damaged: its content does not fit its hash; delete it, and learn it again");
  if (const std::string* name = part.find_metadata("layer"); name != nullptr && *name != std::to_string(layer))
    fail(file, ": holds block ", *name, ", not ", layer, "; give it its own name back");
  CalibratedBlock block;
  block.parameters = require(require(calibration::FlatQuantFile::open(file)).read(0, sizes));
  const FindFloats find = [&](const std::string& name) -> std::optional<std::vector<float>> {
    const io::Tensor* tensor = part.find(name);
    if (tensor == nullptr) return std::nullopt;
    return require(part.read_floats(*tensor));
  };
  const auto report = read_learn_report(find, 0, file);
  if (!report) fail(file, ": does not say how the block learned");
  block.report = *report;
  block.profile = read_profile(find, 0, file);
  return block;
}

void PartsFolder::remove() const {
  remove_files([](const std::string& name) {
    return name.starts_with("layer-") || name.starts_with("inputs-") || name.ends_with(".lock");
  });
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void PartsFolder::remove_temporaries() const {
  remove_files([](const std::string& name) {
    return (name.starts_with("layer-") || name.starts_with("inputs-")) && name.ends_with(".tmp");
  });
}

void PartsFolder::remove_files(const std::function<bool(const std::string&)>& chosen) const {
  std::error_code ignored;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path_, ignored))
    if (chosen(entry.path().filename().string())) files.push_back(entry.path());
  for (const std::filesystem::path& file : files) std::filesystem::remove(file, ignored);
}

}  // namespace llama
