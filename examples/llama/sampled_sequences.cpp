#include "sampled_sequences.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "id_lines.hpp"

namespace llama {
namespace {

constexpr std::uint64_t first_seed = 1'000'000;  // away from those of the text to calibrate and to score

/// Sequences at a time: their caches hold 16384 tokens, those of the shortest no less than a quarter of a window.
index sequences_at_once(index length) { return std::max<index>(1, 16384 / std::max<index>(length, 256)); }

std::string prefix_of(const WeightSource& source) { return "sampled-" + source.identity().substr(0, 16) + "-w8a8-"; }

struct KeptFile {
  index count = 0, length = 0;
  std::string path;
};

/// Files that hold what is asked for, the smallest first.
std::vector<KeptFile> files_with(const WeightSource& source, index count, index length) {
  std::vector<KeptFile> found;
  const std::string prefix = prefix_of(source);
  std::error_code failed;
  for (std::filesystem::directory_iterator entry(cache_folder(), failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    KeptFile file{.path = entry->path().string()};
    int read = 0;
    const std::string rest = name.substr(prefix.size());
    if (std::sscanf(rest.c_str(), "%tdx%td.ids%n", &file.count, &file.length, &read) == 2 && read > 0 &&
        static_cast<std::size_t>(read) == rest.size() && file.count >= count && file.length >= length)
      found.push_back(std::move(file));
  }
  std::sort(found.begin(), found.end(), [](const KeptFile& a, const KeptFile& b) {
    return std::pair(a.count, a.length) < std::pair(b.count, b.length);
  });
  return found;
}

}  // namespace

std::vector<std::vector<int>> sample_sequences(const Model& model, const Tokenizer& tokenizer, index count,
                                               index length, ExecutorReference executor,
                                               const std::function<void(index)>& on_tokens) {
  std::vector<std::vector<int>> sequences;
  while (static_cast<index>(sequences.size()) < count) {
    const auto done = static_cast<index>(sequences.size());
    std::vector<std::uint64_t> seeds;
    for (index s = done; s < std::min(count, done + sequences_at_once(length)); ++s)
      seeds.push_back(first_seed + static_cast<std::uint64_t>(s));
    for (std::vector<int>& sequence : draw_sequences(model, tokenizer, seeds, length, executor, on_tokens))
      sequences.push_back(std::move(sequence));
  }
  return sequences;
}

std::string sampled_sequences_path(const WeightSource& source, index count, index length) {
  return cache_folder() + '/' + prefix_of(source) + std::to_string(count) + 'x' + std::to_string(length) + ".ids";
}

std::optional<std::vector<std::vector<int>>> load_sampled_sequences(const WeightSource& source, index count,
                                                                    index length) {
  for (const KeptFile& file : files_with(source, count, length)) {
    auto sequences = read_id_lines(file.path, count, file.length, source.config().vocabulary);
    if (!sequences) continue;  // damaged
    for (std::vector<int>& sequence : *sequences) sequence.resize(static_cast<std::size_t>(length));
    return sequences;
  }
  return std::nullopt;
}

bool store_sampled_sequences(const WeightSource& source, const std::vector<std::vector<int>>& sequences) {
  if (sequences.empty()) return false;
  const auto count = static_cast<index>(sequences.size()), length = static_cast<index>(sequences.front().size());
  return keep_in_cache(sampled_sequences_path(source, count, length), to_id_lines(sequences));
}

}  // namespace llama
