#include <algorithm>

#include "batch.cuh"

namespace llama::gpu {

BatchWords::BatchWords(int most_rows, int sequences, int capacity, int pages)
    : capacity_(capacity),
      pages_(pages),
      host_(static_cast<std::size_t>(words_of(most_rows, sequences, pages)) * 4, Memory::Place::host),
      device_(static_cast<std::size_t>(words_of(most_rows, sequences, pages)) * 4, Memory::Place::device) {}

std::int64_t BatchWords::words_of(int rows, int segments, int pages) noexcept {
  return std::int64_t{3} * rows + 3 * segments + 1 + std::int64_t{segments} * pages;
}

Batch BatchWords::place(std::int32_t* words, int rows, int segments, int pages) noexcept {
  Batch batch;
  batch.rows = rows;
  batch.segments = segments;
  batch.pages = pages;
  const auto take = [&](std::int64_t count) {
    const std::int32_t* const place = words;
    words += count;
    return place;
  };
  batch.ids = take(rows);
  batch.positions = take(rows);
  batch.bases = take(rows);
  batch.first_rows = take(segments + 1);
  batch.lengths = take(segments);
  batch.offsets = take(segments);
  batch.table = take(std::int64_t{segments} * pages);
  return batch;
}

Batch BatchWords::describe(std::span<const Segment> segments, std::span<const planish::index> tokens,
                           std::span<const int> ids) {
  const int rows = static_cast<int>(ids.size()), count = static_cast<int>(segments.size());
  auto* const words = static_cast<std::int32_t*>(host_.data());
  const Batch host = place(words, rows, count, pages_);
  Batch batch = place(static_cast<std::int32_t*>(device_.data()), rows, count, pages_);
  const auto at = [&](const std::int32_t* place) { return words + (place - words); };
  std::copy(ids.begin(), ids.end(), at(host.ids));
  int row = 0;
  for (int s = 0; s < count; ++s) {
    const Segment& segment = segments[static_cast<std::size_t>(s)];
    const int held = static_cast<int>(tokens[static_cast<std::size_t>(segment.sequence)]);
    const int base = static_cast<int>(segment.sequence) * capacity_;
    at(host.first_rows)[s] = row;
    for (int r = 0; r < segment.rows; ++r, ++row) {
      at(host.positions)[row] = held + r;
      at(host.bases)[row] = base;
    }
    const int length = held + static_cast<int>(segment.rows);
    at(host.lengths)[s] = length;
    at(host.offsets)[s] = base;
    for (int p = 0; p < pages_; ++p) at(host.table)[s * pages_ + p] = static_cast<int>(segment.sequence) * pages_ + p;
    batch.most_new = std::max(batch.most_new, static_cast<int>(segment.rows));
    batch.most_tokens = std::max(batch.most_tokens, length);
  }
  at(host.first_rows)[count] = row;
  return batch;
}

void BatchWords::copy(const Batch& batch, cudaStream_t stream) const {
  const auto bytes = static_cast<std::size_t>(words_of(batch.rows, batch.segments, pages_)) * 4;
  require(cudaMemcpyAsync(device_.data(), host_.data(), bytes, cudaMemcpyHostToDevice, stream), "copying to the GPU");
}

}  // namespace llama::gpu
