// How attention is shared out among workers, seen by a backend that only writes down what it is asked for.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "guarded_memory.hpp"
#include "support.hpp"

namespace planish::recording {

struct Call {
  index kv_head, begin, end;
  const std::byte* scratch;
  std::size_t scratch_size;
};

/// Takes the scratch it is told to, fills all that it gets, and calls every third line of the first head not finite.
struct Recorder {
  std::size_t scratch;
  std::vector<Call>* calls;
  index* columns;
};

inline std::size_t attend_scratch_bytes(const Recorder& b, const Attention& a, index lines) noexcept {
  *b.columns = a.query.columns();
  return b.scratch * static_cast<std::size_t>(lines);
}
inline index attend(const Recorder& b, const Attention& /*a*/, index kv_head, Range lines,
                    std::span<std::byte> scratch) noexcept {
  b.calls->push_back({kv_head, lines.begin, lines.end, scratch.data(), scratch.size()});
  std::fill(scratch.begin(), scratch.end(), std::byte{0x77});
  index bad = 0;
  for (index line = lines.begin; line < lines.end; ++line) bad += kv_head == 0 && line % 3 == 0;
  return bad;
}
inline bool store_key(const Recorder&, const KvPages&, const KvPage&, index, const float*, index) noexcept {
  return true;
}
inline bool store_value(const Recorder&, const KvPages&, const KvPage&, index, const float*, index) noexcept {
  return true;
}

}  // namespace planish::recording

namespace planish::test {

namespace {

using recording::Call;
using recording::Recorder;

/// Workers that take turns.
struct Turns {
  int count;
  [[nodiscard]] int workers() const noexcept { return count; }
  template <class Work>
  void run(int tasks, Work&& work) const noexcept {
    for (int task = 0; task < tasks; ++task) work(task, task % count);
  }
};

Attention rows_of(index rows, index group, index kv_heads) {
  Attention a;
  a.query = {nullptr, rows, kv_heads * group * 8};
  a.group = group;
  return a;
}

}  // namespace

TEST_CASE("every line of every head once, the last rows first, no task empty, scratch for each worker") {
  for (const index rows : {1, 2, 63, 64, 192, 193, 383, 384})
    for (const index group : {1, 3})
      for (const index kv_heads : {1, 2, 5})
        for (const int workers : {1, 2, 6})
          for (const std::size_t scratch : {std::size_t{0}, std::size_t{40}, std::size_t{64}}) {
            INFO("rows ", rows, ", group ", group, ", KV heads ", kv_heads, ", workers ", workers, ", scratch ",
                 scratch);
            const Attention a = rows_of(rows, group, kv_heads);
            const index lines = rows * group, block = attend_block_lines(a, kv_heads, workers);
            std::vector<Call> calls;
            index columns = 0;
            const Recorder backend{scratch, &calls, &columns};
            const guarded::Buffer<std::byte> memory(
                static_cast<index>(attend_workspace_size(backend, a, kv_heads, workers)), guarded::Edge::back);
            Turns turns{workers};
            const Status status = attend_blocks(backend, a, kv_heads, Workspace(memory.span()), turns);
            CHECK(status.code() == ErrorCode::not_finite);
            CHECK(std::string(status.message()) == "attention: " + std::to_string((lines + 2) / 3) + " of " +
                                                       std::to_string(lines * kv_heads) +
                                                       " outputs (rows x query heads) are NaN or infinite");
            CHECK(static_cast<index>(calls.size()) == kv_heads * ((lines + block - 1) / block));
            std::vector<index> seen(static_cast<std::size_t>(kv_heads * lines));
            index wrong = 0, last_begin = lines;
            for (std::size_t i = 0; i < calls.size(); ++i) {
              const Call& call = calls[i];
              wrong += call.begin > last_begin || call.begin >= call.end || call.end - call.begin > block;
              last_begin = call.begin;
              for (index line = call.begin; line < call.end; ++line)
                wrong += seen[static_cast<std::size_t>(call.kv_head * lines + line)]++;
              wrong += call.scratch_size < scratch * static_cast<std::size_t>(block);
              // a worker's scratch is its own
              const std::size_t other = (i + 1) % calls.size();
              if (scratch == 0 || i % static_cast<std::size_t>(workers) == other % static_cast<std::size_t>(workers))
                continue;
              wrong += std::max(call.scratch, calls[other].scratch) <
                       std::min(call.scratch, calls[other].scratch) + call.scratch_size;
            }
            CHECK(wrong == 0);
            CHECK(std::count(seen.begin(), seen.end(), 1) == kv_heads * lines);
          }
}

TEST_CASE("a workspace too small for the counters, or for the scratch behind them, is refused before anything runs") {
  for (const std::size_t scratch : {std::size_t{0}, std::size_t{8}, std::size_t{64}})
    for (const int workers : {1, 3}) {
      const Attention a = rows_of(10, 1, 1);
      std::vector<Call> calls;
      index columns = 0;
      const Recorder backend{scratch, &calls, &columns};
      // aligned memory needs no room to align
      const auto whole = static_cast<index>(attend_workspace_size(backend, a, 1, workers) - buffer_alignment);
      for (index bytes = 0; bytes <= whole; bytes += static_cast<index>(buffer_alignment)) {
        INFO("scratch ", scratch, ", workers ", workers, ", bytes ", bytes, " of ", whole);
        calls.clear();
        const guarded::Buffer<std::byte> memory(bytes, guarded::Edge::back);
        Turns turns{workers};
        const Status status = attend_blocks(backend, a, 1, Workspace(memory.span()), turns);
        CHECK((status.code() == ErrorCode::invalid_argument) == (bytes < whole));
        CHECK(calls.empty() == (bytes < whole));
      }
    }
}

TEST_CASE("a backend sees the shape of the queries when it names its scratch") {
  const KvCache cache = make_cache({.kv_heads = 2, .head_size = 8, .capacity = 5});
  std::vector<Call> calls;
  index columns = 0;
  (void)cache.workspace_size(3, 6, 1, Recorder{8, &calls, &columns});
  CHECK(columns == 48);
}

}  // namespace planish::test
