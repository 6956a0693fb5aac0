#pragma once
#include <algorithm>
#include <vector>

#include <planish/core/aligned_buffer.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>

#include "require.hpp"

namespace llama {

using planish::ExecutorReference;
using planish::index;
using planish::MatrixView;

/// Calls `work(first, count)` for runs of at least `least` neighbouring rows, spread over the workers.
template <class Work>
void for_rows(ExecutorReference executor, index rows, index least, Work&& work) {
  const index tasks = std::clamp<index>(rows / least, 1, 4 * executor.workers());
  executor.run(static_cast<int>(tasks), [&](int task, int) {
    const planish::Range range = planish::part_of(rows, task, tasks);
    work(range.begin, range.end - range.begin);
  });
}

/// A growing rows × columns matrix on cache-aligned memory: contents are lost when it grows.
class FloatRows {
 public:
  [[nodiscard]] MatrixView<float> view(index rows, index columns) {
    if (buffer_.size() < rows * columns)
      buffer_ = require(planish::AlignedBuffer<float>::make(rows * columns), "activations");
    return {buffer_.data(), rows, columns};
  }

 private:
  planish::AlignedBuffer<float> buffer_;
};

/// Growing bytes for the workspaces of sites, linears and caches.
class ScratchBytes {
 public:
  [[nodiscard]] std::span<std::byte> span(std::size_t bytes) {
    if (static_cast<std::size_t>(buffer_.size()) < bytes)
      buffer_ = require(planish::AlignedBuffer<std::byte>::make(static_cast<index>(bytes)), "workspace");
    return buffer_.span();
  }

 private:
  planish::AlignedBuffer<std::byte> buffer_;
};

}  // namespace llama
