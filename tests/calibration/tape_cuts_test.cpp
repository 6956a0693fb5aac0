// How the tape cuts its work, and the memory that goes with it: what is decided here changes no result.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/calibration/tape/attention.hpp>
#include <planish/calibration/tape/kronecker.hpp>
#include <planish/calibration/tape/matrix_product.hpp>

namespace pl = planish;
namespace tape = planish::calibration::tape;
using tape::detail::AttentionPlan;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

/// How often `part` goes into `whole`, a last part counted in.
index parts(index whole, index part) {
  index count = 0;
  for (index at = 0; at < whole; at += part) ++count;
  return count;
}

TEST_CASE("rows of one task: some 16384 elements, at least one row, no more than there are") {
  CHECK(tape::rows_per_block(5000, 16) == 1024);
  CHECK(tape::rows_per_block(5000, 17) == 963);
  CHECK(tape::rows_per_block(5000, 16384) == 1);
  CHECK(tape::rows_per_block(5000, 16383) == 1);
  CHECK(tape::rows_per_block(5000, 8192) == 2);
  CHECK(tape::rows_per_block(5000, 100000) == 1);
  CHECK(tape::rows_per_block(700, 16) == 700);
  CHECK(tape::rows_per_block(5000, 0) == 5000);
  CHECK(tape::rows_per_block(20000, 1) == 16384);
  CHECK(tape::rows_per_block(0, 16) == 1);
}

TEST_CASE("blocks of rows follow one another, and none is empty") {
  for (index rows = 0; rows < 40; ++rows)
    for (index block : {1, 2, 3, 8, 40}) {
      index next = 0, tasks = 0, wrong = 0;
      tape::for_row_blocks({}, rows, block, [&](index first, index count) {
        wrong += first != next || count != std::min(block, rows - first) || count < 1;
        next += count;
        ++tasks;
      });
      CHECK(wrong == 0);
      CHECK(next == rows);
      CHECK(tasks == parts(rows, block));
    }
}

TEST_CASE("sums over blocks of rows take a partial sum per block, in their order, and add where they are not fresh") {
  for (index rows : {1, 3, 4, 8, 9})
    for (bool fresh : {true, false}) {
      tape::Tape<float> t;
      float sums[] = {100.0f, 200.0f};
      const pl::MatrixView<float> to(sums, 1, 2);
      tape::sum_row_blocks<float>(t, rows, 4, {to, fresh}, [](index first, index count, pl::MatrixView<float> partial) {
        for (index r = first; r < first + count; ++r) {
          partial(0, 0) += static_cast<float>(r);
          partial(0, 1) += 1.0f;
        }
      });
      CHECK(sums[0] == (fresh ? 0.0f : 100.0f) + static_cast<float>(rows * (rows - 1) / 2));
      CHECK(sums[1] == (fresh ? 0.0f : 200.0f) + static_cast<float>(rows));
      CHECK(t.memory_bytes() == static_cast<std::size_t>(parts(rows, 4) * 2) * sizeof(float));
    }
}

TEST_CASE("a product is cut into blocks of strips, and these into about a dozen tasks per worker") {
  const auto check = [](index strips, index most, index panels, int workers, index blocks, index batches) {
    CAPTURE(strips);
    CAPTURE(panels);
    CAPTURE(workers);
    const tape::detail::ProductTasks tasks(strips, most, panels, workers);
    CHECK(tasks.blocks == blocks);
    CHECK(tasks.batches == batches);
    CHECK(tasks.count() == static_cast<int>(blocks * batches));
  };
  check(32, 16, 50, 1, 2, 1);  // one worker takes every block whole
  check(33, 16, 50, 1, 3, 1);
  check(1, 16, 50, 1, 1, 1);
  check(16, 16, 50, 2, 1, 24);
  check(17, 16, 50, 2, 2, 12);
  check(48, 16, 50, 2, 3, 8);
  check(80, 16, 50, 2, 5, 5);  // 24 / 5, rounded up
  check(17, 16, 3, 2, 2, 3);   // no more than there are panels
  check(640, 16, 50, 3, 40, 1);
  check(0, 16, 50, 2, 0, 23);
}

TEST_CASE("attention is cut into tiles of 96 lines and 96 keys") {
  for (index window : {1, 95, 96, 97, 192, 193, 600})
    for (index kv_heads : {1, 3})
      for (index group : {1, 2, 5, 95, 96, 97, 200}) {
        const AttentionPlan plan{window, 2, kv_heads * group, kv_heads, 7};
        const index tokens = std::max<index>(1, 96 / group);
        CAPTURE(window);
        CAPTURE(group);
        CHECK(plan.group() == group);
        CHECK(plan.tile_tokens() == tokens);
        CHECK(plan.most_lines() == std::max<index>(96, group));
        CHECK(plan.query_tiles() == parts(window, tokens));
        CHECK(plan.key_tiles() == parts(window, 96));
        CHECK(plan.transposed_tile() == 7 * 96);
        CHECK(plan.transposed_size() == 2 * kv_heads * plan.key_tiles() * 7 * 96);
        index next = 0, wrong = 0;
        for (index tile = 0; tile < plan.query_tiles(); ++tile) {
          const auto cut = plan.query_tile(1, kv_heads - 1, tile);
          wrong += cut.sequence != 1 || cut.kv_head != kv_heads - 1 || cut.first != next || cut.count < 1 ||
                   cut.count != std::min(tokens, window - next);
          next += cut.count;
        }
        CHECK(wrong == 0);
        CHECK(next == window);
        next = 0;
        for (index sequence = 0; sequence < 2; ++sequence)
          for (index head = 0; head < kv_heads; ++head)
            for (index tile = 0; tile < plan.key_tiles(); ++tile, next += plan.transposed_tile())
              wrong += plan.transposed_at(sequence, head, tile) != next;
        CHECK(wrong == 0);
        CHECK(next == plan.transposed_size());
      }
}

TEST_CASE("chunks of keys: three tiles at least, and more where 64 tasks are there without them") {
  const auto check = [](index window, index sequences, index kv_heads, index tiles, index count) {
    CAPTURE(window);
    CAPTURE(sequences);
    const tape::detail::KeyChunks chunks(AttentionPlan{window, sequences, kv_heads, kv_heads, 4});
    CHECK(chunks.size == tiles * 96);
    CHECK(chunks.count == count);
  };
  check(1, 1, 1, 3, 1);
  check(288, 1, 1, 3, 1);
  check(289, 1, 1, 3, 2);
  check(96 * 192, 1, 1, 3, 64);
  check(96 * 192 + 1, 1, 1, 4, 49);
  check(96 * 40, 4, 4, 10, 4);
  check(96 * 40 + 1, 4, 4, 11, 4);
  check(96 * 40, 4, 8, 20, 2);
  check(96 * 40, 3, 5, 8, 5);     // 64 / 15 tasks, rounded up: at most 5 chunks
  check(96 * 40, 8, 8, 40, 1);    // 64 heads are enough
  check(96 * 40, 100, 8, 40, 1);  // so are more
}

TEST_CASE("parts of a worker's memory lie on cache lines of their own and fill it") {
  for (index head_size : {1, 7, 64, 80})
    for (index group : {1, 5, 96, 130})
      for (index window : {1, 300}) {
        const AttentionPlan plan{window, 1, group, 1, head_size};
        const tape::detail::KeyChunks chunks(plan);
        const index lines = std::max<index>(96, group);
        std::vector<float> memory(static_cast<std::size_t>(tape::detail::BackwardRoom<float>::size(plan, chunks)) +
                                  (std::size_t{1} << 20));
        const auto offsets = [&](std::vector<const float*> of) {
          std::vector<index> at;
          for (const float* part : of) at.push_back(part - memory.data());
          return at;
        };
        const auto line = [](index count) { return parts(count, 16) * 16; };
        const auto expected = [&](std::vector<index> sizes, index& total) {
          std::vector<index> at;
          total = 0;
          for (index size : sizes) at.push_back(total), total += line(size);
          return at;
        };
        index total = 0;
        const tape::detail::ForwardRoom<float> f(plan, memory.data());
        CHECK(offsets({f.queries, f.scores, f.totals, f.room, f.maxima, f.sums, f.decays}) ==
              expected({lines * head_size, lines * 96, lines * head_size, lines * head_size, lines, lines, lines},
                       total));
        CHECK(tape::detail::ForwardRoom<float>::size(plan) == total);
        const tape::detail::BackwardRoom<float> b(plan, chunks, memory.data());
        const index keys = chunks.size * head_size;
        CHECK(offsets({b.queries, b.slopes, b.query_sums, b.room, b.scores, b.score_slopes, b.key_sums, b.value_sums,
                       b.logarithms, b.dots}) ==
              expected({lines * head_size, lines * head_size, lines * head_size, lines * head_size, lines * 96,
                        lines * 96, keys, keys, lines, lines},
                       total));
        CHECK(tape::detail::BackwardRoom<float>::size(plan, chunks) == total);
      }
}

/// As many workers as it says; the calling thread does the work of all.
struct CutsInTurn {
  int count;

  [[nodiscard]] int workers() const noexcept { return count; }
  template <class Work>
  void run(int tasks, Work&& work) {
    for (int task = 0; task < tasks; ++task) work(task, task % count);
  }
};

TEST_CASE("attention holds its result, the logarithms and the turned keys; the rest is lent") {
  for (int workers : {1, 3})
    for (index window : {50, 300}) {
      const index head_size = 16, heads = 4, kv_heads = 2, sequences = 2, rows = sequences * window;
      const AttentionPlan plan{window, sequences, heads, kv_heads, head_size};
      const tape::detail::KeyChunks chunks(plan);
      const std::vector<float> values(static_cast<std::size_t>(plan.transposed_size() + rows * heads * head_size),
                                      0.5f);
      std::vector<float> gradient(values.size());
      CutsInTurn executor{workers};
      const auto leaf = [&](tape::Tape<float>& on, index columns) {
        return on.parameter({values.data(), rows, columns}, {gradient.data(), rows, columns});
      };
      tape::Tape<float> on(executor);
      const auto y = tape::causal_attention(leaf(on, heads * head_size), leaf(on, kv_heads * head_size),
                                            leaf(on, kv_heads * head_size), {head_size, window});
      CHECK(y.rows() == rows);
      const index held = rows * heads * (head_size + 1) + plan.transposed_size();
      CHECK(on.memory_bytes() ==
            static_cast<std::size_t>(held + workers * tape::detail::ForwardRoom<float>::size(plan)) * sizeof(float));
      for (bool to_queries : {false, true}) {
        tape::Tape<float> back(executor);
        const auto q = leaf(back, heads * head_size), k = leaf(back, kv_heads * head_size);
        const pl::MatrixView<const float> some = q.value(), logarithms = some.middle_columns(0, heads);
        tape::detail::differentiate_attention<float>(
            back, plan, q, k, k,
            {some, k.value(), some, some, logarithms, values.data(), nullptr, 1.0f, to_queries, false, false});
        const index lent = plan.transposed_size() + workers * tape::detail::BackwardRoom<float>::size(plan, chunks) +
                           (to_queries ? chunks.count * rows * heads * head_size : 0);
        CHECK(back.memory_bytes() == static_cast<std::size_t>(lent) * sizeof(float));
      }
    }
}

/// The least part of a whole number of groups that holds some 32768 elements: what one task of a Kronecker transform
/// takes, and the rows of a group, some 2304 elements; both in whole matrices abreast.
struct KroneckerCut {
  index group, block;

  KroneckerCut(index n, index abreast)
      : group(std::max<index>(1, 2304 / (n * abreast)) * abreast),
        block(parts(std::max<index>(1, 32768 / (n * abreast)) * abreast, group) * group) {}
};

template <class T>
void check_kronecker_memory(index n1, index n2, int workers) {
  const index n = n1 * n2, abreast = tape::detail::matrices_abreast<T>(n2);
  const KroneckerCut cut(n, abreast);
  const index scratch = pl::kernels::reference::kronecker_scratch_size(n1, n2);
  for (index rows : {index{1}, cut.block, cut.block + 1, 2 * cut.block})
    for (int given = 1; given < 8; ++given) {
      const bool left = (given & 1) != 0, right = (given & 2) != 0, scale = (given & 4) != 0;
      if (!left && !right) continue;
      CAPTURE(n1);
      CAPTURE(n2);
      CAPTURE(rows);
      CAPTURE(given);
      CutsInTurn executor{workers};
      const auto values = std::vector<T>(static_cast<std::size_t>(std::max({rows * n, n1 * n1, n2 * n2})), T{1});
      std::vector<T> gradients(values.size());
      const auto leaf = [&](tape::Tape<T>& on, index r, index c) {
        return on.parameter({values.data(), r, c}, {gradients.data(), r, c});
      };
      using Optional = std::optional<tape::Variable<T>>;
      const auto record = [&](tape::Tape<T>& on) {
        return tape::detail::KroneckerRecord<T>(
            leaf(on, rows, n), n1, n2, left ? Optional(leaf(on, n1, n1)) : Optional(),
            right ? Optional(leaf(on, n2, n2)) : Optional(), scale ? Optional(leaf(on, 1, n)) : Optional());
      };
      std::vector<T> made(static_cast<std::size_t>(rows * n));
      tape::Tape<T> on(executor);
      index next = 0, wrong = 0;
      record(on).forward({made.data(), rows, n}, [&](index first, index count) {
        wrong += first != next || count != std::min(cut.block, rows - next) || count < 1;
        next += count;
      });
      CHECK(wrong == 0);
      CHECK(next == rows);
      CHECK(on.memory_bytes() == static_cast<std::size_t>(workers * (2 * cut.group * n + scratch)) * sizeof(T));
      for (bool in_room : {false, true}) {
        tape::Tape<T> back(executor);
        record(back).backward(in_room, [&](index first, index count, T* room) {
          if (in_room) std::fill_n(room, count * n, T{1});
          return in_room ? pl::MatrixView<const T>(room, count, n)
                         : pl::MatrixView<const T>(made.data() + first * n, count, n);
        });
        const index blocks = parts(rows, cut.block);
        const index room = ((scale ? 4 : 3) + (in_room ? 1 : 0)) * cut.block * n + cut.group * n + scratch;
        const index lent = workers * room + n1 * n1 + n2 * n2 +
                           blocks * ((left ? n1 * n1 : 0) + (right ? n2 * n2 : 0) + (scale ? n : 0));
        CHECK(back.memory_bytes() == static_cast<std::size_t>(lent) * sizeof(T));
      }
    }
}

TEST_CASE("a Kronecker transform takes its rows in blocks, and the memory of a block for every worker") {
  for (int workers : {1, 2}) {
    for (const auto& [n1, n2] : {std::pair<index, index>{24, 24}, {48, 48}, {5, 3}, {9, 64}, {1, 7}, {40, 1}, {128, 7}})
      check_kronecker_memory<float>(n1, n2, workers);
    check_kronecker_memory<double>(6, 5, workers);
  }
}

}  // namespace
