#include "merge_parts.hpp"

#include <filesystem>
#include <utility>

#include <planish/io/safetensors.hpp>

#include "../require.hpp"
#include "block_claim.hpp"
#include "parts_folder.hpp"

namespace llama {
namespace {

/// What a part says of itself.
struct PartFacts {
  std::string file, job, recipe, model, command, method;
};

PartFacts read_facts(const std::string& path) {
  const auto file = require(planish::io::SafetensorsFile::open(path));
  const auto text = [&](const char* key) {
    const std::string* found = file.find_metadata(key);
    return found == nullptr ? std::string() : *found;
  };
  PartFacts facts{path, text("job"), text("recipe"), text("model"), text("command"), text("method")};
  if (facts.job.empty() || facts.recipe.empty() || facts.model.empty())
    fail(path,
         ": does not say which calibration it belongs to: there is no 'job', 'recipe' or 'model' in its metadata");
  return facts;
}

/// The commands that learn the missing blocks.
std::string commands_for(const std::vector<index>& missing, const PartFacts& facts, const std::string& out) {
  const std::string command = facts.command.empty() ? "planish-llama calibrate ..." : facts.command;
  std::string text, ranges = ranges_text(missing);
  for (std::size_t at = 0; at < ranges.size();) {
    const std::size_t end = std::min(ranges.find(", ", at), ranges.size());
    text += (text.empty() ? "" : "; ") + command + " --out " + out + " --blocks " + ranges.substr(at, end - at);
    at = end + 2;
  }
  return text;
}

}  // namespace

MergedJob merge_parts(const WeightSource& source, const std::vector<std::string>& folders, const std::string& out) {
  std::string all;
  for (const std::string& folder : folders) {
    if (!std::filesystem::is_directory(folder)) fail(folder, ": is not a folder of finished blocks");
    all += (all.empty() ? "" : ", ") + folder;
  }
  const std::string identity = source.identity();
  PartFacts first;
  std::vector<index> missing;
  std::vector<const std::string*> places;  // by layer
  for (index layer = 0; layer < source.config().layers; ++layer) {
    const std::string* place = nullptr;
    for (const std::string& folder : folders) {
      const std::string file = PartsFolder::file_in(folder, layer);
      if (!std::filesystem::exists(file)) continue;
      PartFacts facts = read_facts(file);
      if (facts.model != identity) fail(file, ": was made from another model than ", source.path());
      if (first.job.empty()) first = facts;
      if (facts.job != first.job)
        fail(file, ": belongs to another calibration than ", first.file, ". It says: ", facts.job,
             ". The other says: ", first.job);
      if (place == nullptr) place = &folder;
    }
    if (place == nullptr) missing.push_back(layer);
    places.push_back(place);
  }
  if (first.job.empty()) fail(all, ": there is no finished block");
  if (!missing.empty())
    fail(all, ": blocks ", ranges_text(missing), " are missing; learn them by: ", commands_for(missing, first, out));

  MergedJob merged{first.job, require(parse_recipe(first.recipe), first.file), first.method, {}};
  if (merged.recipe.needs_statistics())
    fail(all, ": recipe ", first.recipe,
         " rounds by what the calibration text makes of the blocks; put all parts into ", out,
         ".parts, and let the calibration write: ", first.command, " --out ", out);
  std::vector<std::string> owners;
  for (const std::string* place : places) owners.push_back(*place);
  merged.block = [owners, job = first.job, sizes = flatquant_sizes(source.config())](index layer) {
    return PartsFolder(owners[static_cast<std::size_t>(layer)], job).read(layer, sizes);
  };
  for (index layer = 0; layer < source.config().layers; ++layer) static_cast<void>(merged.block(layer));  // whole?
  return merged;
}

}  // namespace llama
