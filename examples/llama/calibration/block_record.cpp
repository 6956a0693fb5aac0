#include "block_record.hpp"

#include "../require.hpp"

namespace llama {
namespace {

using planish::calibration::LearnReport;

std::string tensor(index layer, const std::string& what) { return layer_tensor(layer, "calibration." + what); }

float single(double value) { return static_cast<float>(value); }

void add_channels(std::vector<float>& rows, const Flattening& channels) {
  rows.insert(rows.end(), channels.before.begin(), channels.before.end());
  rows.insert(rows.end(), channels.after.begin(), channels.after.end());
}

void add_site(const AddFloats& add, index layer, const std::string& name, const SiteProfile& site) {
  std::vector<float> rows;
  add_channels(rows, site.activations);
  add_channels(rows, site.weights);
  const auto channels = static_cast<index>(site.activations.before.size());
  add(tensor(layer, name + ".channels"), {static_cast<index>(rows.size()) / channels, channels}, rows);
  add(tensor(layer, name + ".kurtosis"), {2}, {single(site.kurtosis_before), single(site.kurtosis_after)});
  if (!site.errors) return;
  std::vector<float> errors{single(site.errors->plain), single(site.errors->learned)};
  if (site.errors->hadamard) errors.push_back(single(*site.errors->hadamard));
  add(tensor(layer, name + ".errors"), {static_cast<index>(errors.size())}, errors);
}

/// Reads what belongs to one layer, with sizes checked.
class Reader {
 public:
  Reader(const FindFloats& find, index layer, const std::string& path) : find_(find), layer_(layer), path_(path) {}

  [[nodiscard]] std::optional<std::vector<float>> find(const std::string& what) const {
    return find_(tensor(layer_, what));
  }

  [[nodiscard]] std::vector<float> get(const std::string& what, std::size_t least, std::size_t most) const {
    auto values = find(what);
    if (!values) fail(path_, ": there is no tensor '", tensor(layer_, what), "'");
    check(what, *values, least, most);
    return *std::move(values);
  }

  void check(const std::string& what, const std::vector<float>& values, std::size_t least, std::size_t most) const {
    if (values.size() >= least && values.size() <= most) return;
    const std::string wanted =
        least == most ? std::to_string(least) : std::to_string(least) + " to " + std::to_string(most);
    fail(path_, ": tensor '", tensor(layer_, what), "' has ", values.size(), " values, not ", wanted);
  }

  /// `parts`: rows of `channels`, 2 without weights or 4.
  [[nodiscard]] SiteProfile site(const std::string& name, std::size_t parts) const {
    const std::vector<float> rows = get(name + ".channels", parts, std::size_t{1} << 24);
    const std::size_t n = rows.size() / parts;
    check(name + ".channels", rows, n * parts, n * parts);
    const auto part = [&](std::size_t i) {
      const auto first = rows.begin() + static_cast<std::ptrdiff_t>(i * n);
      return std::vector<float>(first, first + static_cast<std::ptrdiff_t>(n));
    };
    SiteProfile made{.activations = {part(0), part(1)}};
    if (parts == 4) made.weights = {part(2), part(3)};
    const auto kurtosis = get(name + ".kurtosis", 2, 2);
    made.kurtosis_before = static_cast<double>(kurtosis[0]);
    made.kurtosis_after = static_cast<double>(kurtosis[1]);
    if (const auto errors = find(name + ".errors")) {
      check(name + ".errors", *errors, 2, 3);
      made.errors = SiteErrors{static_cast<double>((*errors)[0]), std::nullopt, static_cast<double>((*errors)[1])};
      if (errors->size() == 3) made.errors->hadamard = static_cast<double>((*errors)[2]);
    }
    return made;
  }

 private:
  const FindFloats& find_;
  index layer_;
  const std::string& path_;
};

constexpr std::size_t clip_fields = 5;

}  // namespace

void add_learn_report(const AddFloats& add, index layer, const LearnReport& report) {
  add(tensor(layer, "step_losses"), {static_cast<index>(report.step_losses.size())},
      {report.step_losses.begin(), report.step_losses.end()});
  add(tensor(layer, "summary"), {5},
      {single(report.loss_before), single(report.loss_after), single(report.learning_rate),
       static_cast<float>(report.attempts), single(report.change_of_inputs)});
}

std::optional<LearnReport> read_learn_report(const FindFloats& find, index layer, const std::string& path) {
  const Reader from(find, layer, path);
  const auto losses = from.find("step_losses");
  if (!losses) return std::nullopt;
  const auto summary = from.get("summary", 4, 5);
  LearnReport report{.loss_before = static_cast<double>(summary[0]),
                     .loss_after = static_cast<double>(summary[1]),
                     .step_losses = {losses->begin(), losses->end()},
                     .learning_rate = static_cast<double>(summary[2])};
  report.attempts = static_cast<int>(summary[3]);
  if (summary.size() == 5) report.change_of_inputs = static_cast<double>(summary[4]);
  return report;
}

void add_profile(const AddFloats& add, index layer, const BlockProfile& profile) {
  add(tensor(layer, "tokens"), {1}, {static_cast<float>(profile.tokens)});
  for (SiteKind kind : site_kinds)
    add_site(add, layer, std::string(to_string(kind)), profile.sites[static_cast<std::size_t>(kind)]);
  if (profile.keys) add_site(add, layer, "keys", *profile.keys);
  std::vector<float> clips;
  for (const MatrixClips& c : profile.clips)
    clips.insert(clips.end(), {static_cast<float>(c.rows), single(c.weight_mean), single(c.weight_least),
                               c.activation.positive, c.activation.negative});
  add(tensor(layer, "clips"), {static_cast<index>(projections.size()), static_cast<index>(clip_fields)}, clips);
  add(tensor(layer, "cache_clips"), {2, 2},
      {profile.key_clip.positive, profile.key_clip.negative, profile.value_clip.positive, profile.value_clip.negative});
}

std::optional<BlockProfile> read_profile(const FindFloats& find, index layer, const std::string& path) {
  const Reader from(find, layer, path);
  const auto tokens = from.find("tokens");
  if (!tokens) return std::nullopt;
  from.check("tokens", *tokens, 1, 1);
  BlockProfile made;
  made.tokens = static_cast<index>(tokens->front());
  for (SiteKind kind : site_kinds)
    made.sites[static_cast<std::size_t>(kind)] = from.site(std::string(to_string(kind)), 4);
  if (from.find("keys.channels")) made.keys = from.site("keys", 2);
  const std::size_t count = projections.size() * clip_fields;
  const auto clips = from.get("clips", count, count);
  for (std::size_t i = 0; i < projections.size(); ++i) {
    const float* c = clips.data() + i * clip_fields;
    made.clips[i] = {static_cast<index>(c[0]), static_cast<double>(c[1]), static_cast<double>(c[2]), {c[3], c[4]}};
  }
  const auto cache = from.get("cache_clips", 4, 4);
  made.key_clip = {cache[0], cache[1]};
  made.value_clip = {cache[2], cache[3]};
  return made;
}

}  // namespace llama
