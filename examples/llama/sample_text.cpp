#include "sample_text.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "json_output.hpp"
#include "sampler.hpp"
#include "session.hpp"

namespace llama {
namespace {

constexpr std::uint64_t calibration_seed = 1000, scoring_seed = 2000;

/// One line per sequence, ids apart by spaces; the calibration half first.
std::string to_lines(const SampledText& text) {
  std::ostringstream lines;
  for (const auto* half : {&text.calibration, &text.scoring})
    for (const std::vector<int>& sequence : *half)
      for (std::size_t i = 0; i < sequence.size(); ++i) lines << sequence[i] << (i + 1 == sequence.size() ? '\n' : ' ');
  return lines.str();
}

}  // namespace

SampledText sample_text(const Model& model, const Tokenizer& tokenizer, ExecutorReference executor,
                        const std::function<void(index)>& on_tokens) {
  constexpr index sequences = 2 * SampledText::sequences, length = SampledText::length;
  SamplerOptions options;
  for (int id = 0; id < tokenizer.size(); ++id)
    if (tokenizer.is_control(id)) options.masked.push_back(id);
  std::vector<Sampler> samplers;
  std::vector<Segment> segments;
  for (index s = 0; s < sequences; ++s) {
    const bool calibrates = s < SampledText::sequences;
    samplers.emplace_back(options, (calibrates ? calibration_seed : scoring_seed) + static_cast<std::uint64_t>(s));
    segments.push_back({s, 1});
  }

  // A text begins after the end of the one before it.
  const int begin = tokenizer.special_token("<|endoftext|>")
                        .value_or(tokenizer.begin_token().value_or(tokenizer.end_token().value_or(0)));
  Session session(model, sequences, length, executor);
  std::vector<int> ids(static_cast<std::size_t>(sequences), begin);
  std::vector<std::vector<int>> texts(ids.size());
  for (index position = 0; position < length; ++position) {
    const MatrixView<const float> logits = session.logits(session.forward(segments, ids));
    executor.run(static_cast<int>(sequences), [&](int task, int) {
      const auto s = static_cast<std::size_t>(task);
      ids[s] = samplers[s].sample({logits.row(task), static_cast<std::size_t>(logits.columns())});
      texts[s].push_back(ids[s]);
    });
    if (on_tokens) on_tokens(sequences);
  }
  const auto middle = texts.begin() + SampledText::sequences;
  return {{texts.begin(), middle}, {middle, texts.end()}};
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
  std::ifstream file(sampled_text_path(source));
  SampledText text;
  std::string line;
  for (auto* half : {&text.calibration, &text.scoring})
    for (index s = 0; s < SampledText::sequences; ++s) {
      if (!std::getline(file, line)) return std::nullopt;
      std::istringstream numbers(line);
      std::vector<int> ids;
      for (int id = 0; numbers >> id;) {
        if (id < 0 || id >= source.config().vocabulary) return std::nullopt;
        ids.push_back(id);
      }
      if (static_cast<index>(ids.size()) != SampledText::length) return std::nullopt;
      half->push_back(std::move(ids));
    }
  return text;
}

bool store_sampled_text(const WeightSource& source, const SampledText& text) {
  std::error_code failed;
  std::filesystem::create_directories(cache_folder(), failed);
  if (failed) return false;
  try {
    write_file_atomically(sampled_text_path(source), to_lines(text));
  } catch (const Error&) {
    return false;
  }
  return true;
}

}  // namespace llama
