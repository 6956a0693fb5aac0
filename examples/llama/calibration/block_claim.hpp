#pragma once
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "file_lock.hpp"
#include "parts_folder.hpp"

namespace llama {

/// A place among processes that work on one job. It decides only where a process starts, so that they do not meet.
struct JobShare {
  int rank = 0, size = 1;
};

/// "rank 1: ", or nothing where there is one process.
[[nodiscard]] inline std::string rank_text(JobShare share) {
  return share.size > 1 ? "rank " + std::to_string(share.rank) + ": " : "";
}

/// A block that this process, and no other, learns for as long as it lives.
struct BlockClaim {
  index layer = 0;
  FileLock lock;
};

/// Deals the missing blocks of a job to all processes that work on its folder, wherever they run: a block belongs to
/// who has the lock on its file `layer-0007.lock`. Nobody leads. A process that dies leaves its block to the next that
/// looks.
class BlockClaims {
 public:
  /// Blocks [first, last). `finished()` says whether the job's result is there by now, its folder gone perhaps.
  BlockClaims(const PartsFolder& parts, index first, index last, JobShare share, std::function<bool()> finished);

  /// Takes the next block that is missing and that nobody works on, from the last one onwards and then from the front;
  /// nullopt if there is none. Throws Error.
  [[nodiscard]] std::optional<BlockClaim> next();

  /// The blocks that are not there yet; none once the job is finished.
  [[nodiscard]] std::vector<index> missing() const;

 private:
  [[nodiscard]] std::optional<BlockClaim> claim(index layer) const;

  const PartsFolder* parts_;
  index first_, last_, at_;
  std::function<bool()> finished_;
};

/// What a process holds while it works in a job's folder. Where blocks build on the ones before them, `alone` keeps
/// every other process out. Throws Error where another one has it alone, or is there and `alone` is asked for.
[[nodiscard]] FileLock enter_job(const PartsFolder& parts, bool alone);

/// The right to write the job's result, which one process has; nullopt if another one has it.
[[nodiscard]] std::optional<FileLock> claim_result(const std::string& folder);

/// Blocks as ranges that --blocks takes: "0:3, 7:8".
[[nodiscard]] std::string ranges_text(const std::vector<index>& layers);

/// "3:7" as [3, 7), "2/8" as the third of eight shares that are as even as can be. Throws Error.
[[nodiscard]] std::pair<index, index> parse_blocks(const std::string& text, index layers);

}  // namespace llama
