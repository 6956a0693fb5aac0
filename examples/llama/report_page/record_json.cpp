#include "record_json.hpp"

#include <algorithm>
#include <cmath>

#include "magnitudes.hpp"

namespace llama {
namespace {

Json clip_json(planish::ClipPair clip) { return {clip.positive, clip.negative}; }

Json channels_json(const Flattening& channels) {
  const auto greatest = [](const std::vector<float>& c) { return *std::max_element(c.begin(), c.end()); };
  return {{"max", {greatest(channels.before), greatest(channels.after)}},
          {"max_over_median", {page::peak(channels.before), page::peak(channels.after)}}};
}

Json site_json(const SiteProfile& site) {
  Json json = {{"activations", channels_json(site.activations)},
               {"kurtosis", {site.kurtosis_before, site.kurtosis_after}}};
  if (!site.weights.before.empty()) json["weights"] = channels_json(site.weights);
  if (site.errors)
    json["errors"] = {{"plain", site.errors->plain},
                      {"hadamard", site.errors->hadamard ? Json(*site.errors->hadamard) : Json(nullptr)},
                      {"learned", site.errors->learned}};
  return json;
}

Json block_json(const BlockRecord& block) {
  Json json = {{"loss_before", block.report.loss_before},
               {"loss_after", block.report.loss_after},
               {"change_of_inputs", block.report.change_of_inputs},
               {"learning_rate", block.report.learning_rate},
               {"attempts", block.report.attempts},
               {"step_losses", block.report.step_losses},
               {"profile_tokens", block.profile.tokens}};
  for (SiteKind kind : site_kinds)
    json["sites"][std::string(to_string(kind))] = site_json(block.profile.sites[static_cast<std::size_t>(kind)]);
  if (block.profile.keys) json["keys"] = site_json(*block.profile.keys);
  for (Projection p : projections) {
    const MatrixClips& c = block.profile.clips[static_cast<std::size_t>(p)];
    json["clips"][std::string(name_of(p))] = {
        {"weight_mean", c.weight_mean}, {"weight_least", c.weight_least}, {"input", clip_json(c.activation)}};
  }
  json["cache_clips"] = {{"key", clip_json(block.profile.key_clip)}, {"value", clip_json(block.profile.value_clip)}};
  return json;
}

}  // namespace

Json to_json(const CalibrationRecord& record) {
  Json json = {{"model", record.model}, {"artefact", record.path}, {"recipe", to_string(record.recipe)}};
  for (const auto& [what, is] : record.method) json["method"][what] = is;
  json["job"] = record.job;
  json["file_bytes"] = std::llround(record.file_bytes);
  json["weight_bits"] = record.weight_bits;
  json["loss_after_over_before"] = record.improvement();
  json["blocks"] = Json::array();
  for (const BlockRecord& block : record.blocks) json["blocks"].push_back(block_json(block));
  return json;
}

}  // namespace llama
