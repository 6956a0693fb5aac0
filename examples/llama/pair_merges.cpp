#include "pair_merges.hpp"

#include <queue>
#include <tuple>

namespace llama {
namespace {

/// A merge that could be made at a position, as it was when it was found.
struct Candidate {
  int rank;
  std::size_t left, right;  ///< positions
  int left_id, right_id;    ///< what lay there; if that has changed, the candidate is out of date
  int joined;

  /// For std::priority_queue, whose top is the largest: smallest rank first, then leftmost.
  friend bool operator<(const Candidate& a, const Candidate& b) {
    return std::tie(a.rank, a.left) > std::tie(b.rank, b.left);
  }
};

}  // namespace

void PairMerges::apply(std::vector<int>& ids) const {
  constexpr int gone = -1;
  const std::size_t count = ids.size();
  if (count < 2) return;
  std::vector<std::size_t> next(count), previous(count);  // linked list of the positions still alive
  for (std::size_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;  // of the first: never read
  }

  std::priority_queue<Candidate> candidates;
  const auto consider = [&](std::size_t left, std::size_t right) {
    if (const Merge* merge = find(ids[left], ids[right]))
      candidates.push({merge->rank, left, right, ids[left], ids[right], merge->joined});
  };
  for (std::size_t i = 0; i + 1 < count; ++i) consider(i, i + 1);

  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    if (ids[best.left] != best.left_id || ids[best.right] != best.right_id || next[best.left] != best.right) continue;
    ids[best.left] = best.joined;
    ids[best.right] = gone;
    next[best.left] = next[best.right];
    if (next[best.left] < count) {
      previous[next[best.left]] = best.left;
      consider(best.left, next[best.left]);
    }
    if (best.left > 0) consider(previous[best.left], best.left);
  }

  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; i = next[i]) ids[kept++] = ids[i];
  ids.resize(kept);
}

}  // namespace llama
