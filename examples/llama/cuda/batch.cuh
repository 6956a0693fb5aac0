#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "../segment.hpp"
#include "memory.cuh"

namespace llama::gpu {

/// What the kernels of one pass are told of its rows; pointers of device memory, filled before the pass.
struct Batch {
  int rows = 0, segments = 0;
  int most_new = 0;                          // rows of a segment
  int most_tokens = 0;                       // of a sequence, after the pass
  const std::int32_t* ids = nullptr;         // [rows]
  const std::int32_t* positions = nullptr;   // [rows]
  const std::int32_t* bases = nullptr;       // [rows]: where the row's sequence begins in caches of float rows
  const std::int32_t* first_rows = nullptr;  // [segments + 1]
  const std::int32_t* lengths = nullptr;     // [segments]: tokens after the pass
  const std::int32_t* offsets = nullptr;     // [segments]: as bases
  const std::int32_t* table = nullptr;       // [segments][pages]
  int pages = 0;                             // of a sequence
  bool decodes() const noexcept { return rows == segments; }
};

/// The same words on both sides: written on the host, copied in one piece, at the same places for the same numbers of
/// rows and segments, so that a captured graph reads the words of its replay.
class BatchWords {
 public:
  BatchWords(int most_rows, int sequences, int capacity, int pages);

  /// Describes a pass over `segments`, of which sequence s holds `tokens[s]` already.
  Batch describe(std::span<const Segment> segments, std::span<const planish::index> tokens, std::span<const int> ids);

  /// Starts the copy of a described batch.
  void copy(const Batch& batch, cudaStream_t stream) const;

 private:
  [[nodiscard]] static std::int64_t words_of(int rows, int segments, int pages) noexcept;
  [[nodiscard]] static Batch place(std::int32_t* words, int rows, int segments, int pages) noexcept;

  int capacity_, pages_;
  Memory host_, device_;
};

}  // namespace llama::gpu
