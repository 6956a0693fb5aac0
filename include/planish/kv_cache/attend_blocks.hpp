#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <planish/backend/attention.hpp>
#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/status.hpp>
#include <planish/core/workspace.hpp>
#include <planish/packing/attention.hpp>

namespace planish::inline PLANISH_ABI {

/// Lines of one task: enough to pay for reading a page, few enough to stay in the second-level cache, and no more than
/// keeps every worker busy.
[[nodiscard]] constexpr index attend_block_lines(const Attention& a, index kv_heads, int workers) noexcept {
  constexpr index most = 192;
  const index lines = attention_lines(a);
  const index parts = kv_heads > 0 ? divide_up(workers, kv_heads) : 1;
  return std::clamp<index>(divide_up(lines, parts), 1, most);
}

template <AttentionBackend B>
[[nodiscard]] std::size_t attend_workspace_size(const B& backend, const Attention& a, index kv_heads,
                                                int workers) noexcept {
  const index lines = attend_block_lines(a, kv_heads, workers);
  const auto scratch = static_cast<index>(attend_scratch_bytes(backend, a, lines));
  return buffer_alignment +
         static_cast<std::size_t>(workers) * (workspace_bytes<std::byte>(scratch) + workspace_bytes<index>(1));
}

/// Runs every line of every KV head as tasks of the executor, the last rows (the longest) first.
template <AttentionBackend B>
Status attend_blocks(const B& backend, const Attention& a, index kv_heads, Workspace workspace,
                     ExecutorReference executor) noexcept {
  const int workers = executor.workers();
  const index lines = attention_lines(a);
  const index block = attend_block_lines(a, kv_heads, workers);
  const index blocks = divide_up(lines, block);
  constexpr index counter_stride = static_cast<index>(buffer_alignment / sizeof(index));  // one cache line per worker
  const auto scratch_size =
      static_cast<index>(workspace_bytes<std::byte>(static_cast<index>(attend_scratch_bytes(backend, a, block))));
  const auto not_finite = workspace.take<index>(workers * counter_stride);
  const auto scratch = workspace.take<std::byte>(workers * scratch_size);
  if (not_finite.empty() || (scratch.empty() && scratch_size > 0))
    return {ErrorCode::invalid_argument,
            "attention: the workspace is too small; workspace_size() says how much it needs"};
  std::fill(not_finite.begin(), not_finite.end(), index{0});
  executor.run(static_cast<int>(blocks * kv_heads), [&](int task, int worker) noexcept {
    const index b = blocks - 1 - task / kv_heads;
    const Range range{b * block, std::min((b + 1) * block, lines)};
    const auto own =
        scratch.subspan(static_cast<std::size_t>(worker * scratch_size), static_cast<std::size_t>(scratch_size));
    not_finite[static_cast<std::size_t>(worker * counter_stride)] += attend(backend, a, task % kv_heads, range, own);
  });
  index bad = 0;
  for (const index lines_of_one : not_finite) bad += lines_of_one;
  if (bad > 0)
    return {ErrorCode::not_finite,
            "attention: ",
            bad,
            " of ",
            lines * kv_heads,
            " outputs (rows x query heads) are NaN or infinite"};
  return {};
}

}  // namespace planish::inline PLANISH_ABI
