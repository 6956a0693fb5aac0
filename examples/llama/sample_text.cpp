#include "sample_text.hpp"

#include <cstdlib>
#include <filesystem>

#include "id_lines.hpp"
#include "json_output.hpp"
#include "sampler.hpp"
#include "session.hpp"

namespace llama {
namespace {

constexpr std::uint64_t calibration_seed = 1000, scoring_seed = 2000;

/// The calibration half first.
SampledText halves_of(const std::vector<std::vector<int>>& sequences) {
  const auto middle = sequences.begin() + SampledText::sequences;
  return {{sequences.begin(), middle}, {middle, sequences.end()}};
}

}  // namespace

std::vector<std::vector<int>> draw_sequences(const Model& model, const Tokenizer& tokenizer,
                                             std::span<const std::uint64_t> seeds, index length,
                                             ExecutorReference executor, const std::function<void(index)>& on_tokens) {
  SamplerOptions options;
  for (int id = 0; id < tokenizer.size(); ++id)
    if (tokenizer.is_control(id)) options.masked.push_back(id);
  std::vector<Sampler> samplers;
  std::vector<Segment> segments;
  for (const std::uint64_t seed : seeds) {
    samplers.emplace_back(options, seed);
    segments.push_back({static_cast<index>(segments.size()), 1});
  }

  // A text begins after the end of the one before it.
  const int begin = tokenizer.special_token("<|endoftext|>")
                        .value_or(tokenizer.begin_token().value_or(tokenizer.end_token().value_or(0)));
  const auto sequences = static_cast<index>(seeds.size());
  Session session(model, sequences, length, executor);
  std::vector<int> ids(seeds.size(), begin);
  std::vector<std::vector<int>> texts(seeds.size());
  for (index position = 0; position < length; ++position) {
    const MatrixView<const float> logits = session.logits(session.forward(segments, ids));
    executor.run(static_cast<int>(sequences), [&](int task, int) {
      const auto s = static_cast<std::size_t>(task);
      ids[s] = samplers[s].sample({logits.row(task), static_cast<std::size_t>(logits.columns())});
      texts[s].push_back(ids[s]);
    });
    if (on_tokens) on_tokens(sequences);
  }
  return texts;
}

SampledText sample_text(const Model& model, const Tokenizer& tokenizer, ExecutorReference executor,
                        const std::function<void(index)>& on_tokens) {
  std::vector<std::uint64_t> seeds;
  for (const std::uint64_t first : {calibration_seed, scoring_seed})
    for (index s = 0; s < SampledText::sequences; ++s) seeds.push_back(first + static_cast<std::uint64_t>(s));
  return halves_of(draw_sequences(model, tokenizer, seeds, SampledText::length, executor, on_tokens));
}

std::string cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0')
    return std::string(cache) + "/planish";
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "." : home) + "/.cache/planish";
}

std::string sampled_text_path(const WeightSource& source) {
  return cache_folder() + "/sampled-" + source.identity().substr(0, 16) + ".ids";
}

std::optional<SampledText> load_sampled_text(const WeightSource& source) {
  const auto sequences = read_id_lines(sampled_text_path(source), 2 * SampledText::sequences, SampledText::length,
                                       source.config().vocabulary);
  if (!sequences) return std::nullopt;
  return halves_of(*sequences);
}

bool store_sampled_text(const WeightSource& source, const SampledText& text) {
  return keep_in_cache(sampled_text_path(source), to_id_lines(text.calibration) + to_id_lines(text.scoring));
}

bool keep_in_cache(const std::string& path, const std::string& content) {
  std::error_code failed;
  std::filesystem::create_directories(cache_folder(), failed);
  if (failed) return false;
  try {
    write_file_atomically(path, content);
  } catch (const Error&) {
    return false;
  }
  return true;
}

}  // namespace llama
