#include "block_claim.hpp"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>
#include <unistd.h>

#include "../error.hpp"

namespace llama {
namespace {

/// Makes a client of NFS forget which names it once looked for in vain, as it does when it changes the folder itself:
/// else a block that another host has just written is missing here for up to a minute.
void look_afresh(const std::string& folder) {
  const std::string name = folder + "/layer-look." + std::to_string(::getpid()) + ".tmp";
  std::ofstream(name).close();
  std::error_code ignored;
  std::filesystem::remove(name, ignored);
}

}  // namespace

BlockClaims::BlockClaims(const PartsFolder& parts, index first, index last, JobShare share,
                         std::function<bool()> finished)
    : parts_(&parts), first_(first), last_(last), at_(first), finished_(std::move(finished)) {
  const std::vector<index> open = missing();
  if (!open.empty())
    at_ = open[open.size() * static_cast<std::size_t>(share.rank) / static_cast<std::size_t>(share.size)];
}

std::vector<index> BlockClaims::missing() const {
  std::vector<index> layers;
  for (index layer = first_; layer < last_; ++layer)
    if (!parts_->has(layer)) layers.push_back(layer);
  if (!layers.empty() && finished_()) layers.clear();
  return layers;
}

std::optional<BlockClaim> BlockClaims::claim(index layer) const {
  char name[32];
  std::snprintf(name, sizeof name, "/layer-%04td.lock", layer);
  std::optional<FileLock> lock;
  try {
    lock = FileLock::try_take(parts_->path() + name);
  } catch (const Error&) {
    if (finished_()) return std::nullopt;  // and the folder gone
    throw;
  }
  if (!lock) return std::nullopt;
  // Looked at again behind the lock: its last holder may have written the block. The result second: parts are deleted
  // only after it is there.
  look_afresh(parts_->path());
  if (parts_->has(layer) || finished_()) return std::nullopt;
  return BlockClaim{layer, *std::move(lock)};
}

std::optional<BlockClaim> BlockClaims::next() {
  for (index passed = 0; passed < last_ - first_; ++passed) {
    const index layer = first_ + (at_ - first_ + passed) % (last_ - first_);
    if (parts_->has(layer)) continue;
    auto claimed = claim(layer);
    if (!claimed) continue;
    at_ = layer;
    return claimed;
  }
  return std::nullopt;
}

FileLock enter_job(const PartsFolder& parts, bool alone) {
  const std::string path = parts.path() + "/job.lock";
  constexpr int tries = 100;  // for 10 s: another process that comes has it exclusively for a moment, as this one here
  for (int i = 0; i < tries; ++i) {
    if (auto lock = FileLock::try_take(path)) {
      parts.remove_temporaries();  // nobody else is here: what was left half-written is of no use
      if (!alone) lock->share();
      return *std::move(lock);
    }
    if (!alone)
      if (auto lock = FileLock::try_take(path, FileLock::Kind::shared)) return *std::move(lock);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  fail(parts.path(), ": another process works on this calibration, whose blocks build on the ones before them; let it ",
       "go on alone");
}

std::optional<FileLock> claim_result(const std::string& folder) { return FileLock::try_take(folder + "/result.lock"); }

std::string ranges_text(const std::vector<index>& layers) {
  std::string text;
  for (std::size_t i = 0; i < layers.size();) {
    std::size_t end = i + 1;
    while (end < layers.size() && layers[end] == layers[end - 1] + 1) ++end;
    text += (text.empty() ? "" : ", ") + std::to_string(layers[i]) + ':' + std::to_string(layers[end - 1] + 1);
    i = end;
  }
  return text;
}

std::pair<index, index> parse_blocks(const std::string& text, index layers) {
  index a = 0, b = 0;
  int read = 0;
  const auto is_whole = [&] { return static_cast<std::size_t>(read) == text.size(); };
  if (std::sscanf(text.c_str(), "%td:%td%n", &a, &b, &read) == 2 && is_whole() && a >= 0 && a < b && b <= layers)
    return {a, b};
  read = 0;
  if (std::sscanf(text.c_str(), "%td/%td%n", &a, &b, &read) == 2 && is_whole() && a >= 0 && a < b && b <= 1000000)
    return {a * layers / b, (a + 1) * layers / b};
  fail("--blocks ", text, ": give FIRST:END within 0:", layers, ", or I/N, share I of N counted from 0");
}

}  // namespace llama
