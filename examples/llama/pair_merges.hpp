#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace llama {

/// The merges of a byte-pair encoding: which neighbouring tokens join, in which order of preference, into which token.
class PairMerges {
 public:
  /// `rank`: smaller joins earlier; of equal ranks the leftmost. The first rank given to a pair stays.
  void add(int left, int right, int rank, int joined) { merges_.try_emplace(key(left, right), Merge{rank, joined}); }

  void reserve(std::size_t count) { merges_.reserve(count); }

  /// Joins neighbours in `ids` until no pair of them has a merge. O(n log n) for n ids.
  void apply(std::vector<int>& ids) const;

 private:
  struct Merge {
    int rank, joined;
  };
  struct Mix {
    std::size_t operator()(std::uint64_t pair) const noexcept {
      pair *= 0x9e3779b97f4a7c15u;
      return static_cast<std::size_t>(pair ^ (pair >> 32));
    }
  };
  static std::uint64_t key(int left, int right) noexcept {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  }
  [[nodiscard]] const Merge* find(int left, int right) const {
    const auto found = merges_.find(key(left, right));
    return found == merges_.end() ? nullptr : &found->second;
  }

  std::unordered_map<std::uint64_t, Merge, Mix> merges_;
};

}  // namespace llama
