// How a site cuts its rows, what each worker works in, which bad row it names, and how much memory is enough.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "guarded_memory.hpp"
#include "linear/samples.hpp"

namespace preparing {
namespace {

namespace pl = planish;
using pl::index;
using samples::made;
using samples::Matrix;
using samples::Memory;
using A8 = pl::Quantizer<8, pl::PerToken>;

/// Counts the tasks that it is given; all of them run on worker `only`, or on each in turn where that is negative.
struct Counting {
  int count = 3, only = -1, tasks = 0;
  [[nodiscard]] int workers() const noexcept { return count; }
  template <class Work>
  void run(int given, Work&& work) noexcept {
    tasks += given;
    for (int task = 0; task < given; ++task) work(task, only < 0 ? task % count : only);
  }
};

/// Rows of ones that note in which runs they are made.
struct NotedRows {
  index count, width;
  std::vector<index>* runs;
  [[nodiscard]] index rows() const noexcept { return count; }
  [[nodiscard]] index columns() const noexcept { return width; }
  void fill(index, pl::MatrixView<float> rows) const noexcept {
    runs->push_back(rows.rows());
    for (index r = 0; r < rows.rows(); ++r)
      for (index c = 0; c < width; ++c) rows(r, c) = 1.0f;
  }
};

/// What one tile was given to work with.
struct Job {
  const float* x;
  index rows, behind;
  std::span<const float> room, scratch;
};

/// The identity, quantized by itself: it notes its jobs.
struct Watching {
  index n;
  std::vector<Job>* jobs;
  [[nodiscard]] index size() const { return n; }
  [[nodiscard]] index scratch_size(index rows) const { return rows * 3; }
  template <class T>
  void apply(pl::MatrixView<const T> x, pl::MatrixView<T> y, std::span<T>) const {
    for (index r = 0; r < x.rows(); ++r)
      for (index c = 0; c < n; ++c) y(r, c) = x(r, c);
  }
  [[nodiscard]] index apply_to_codes(const pl::RowsToCodes& job) const noexcept {
    jobs->push_back({job.x.data(),
                     job.x.rows(),
                     job.rows_behind,
                     {job.room.data(), static_cast<std::size_t>(job.room.rows() * n)},
                     {job.scratch.data(), job.scratch.size()}});
    return pl::kernels::reference::quantize_rows(job.x, job.quantizer, job.out);
  }
  [[nodiscard]] Watching dual() const { return *this; }
};

TEST_CASE("a tile is 8 to 32 rows of about 64 KiB, in eights, and room for it whole cache lines") {
  struct Case {
    index rows, columns, tile_rows;
  };
  for (const Case& is : {Case{100, 0, 32},
                         {100, 1, 32},
                         {100, 512, 32},
                         {100, 513, 24},
                         {100, 682, 24},
                         {100, 683, 16},
                         {100, 1024, 16},
                         {100, 1025, 8},
                         {100, 2048, 8},
                         {100, 100000, 8},
                         {5, 64, 5},
                         {0, 64, 0},
                         {17, 1000, 16},
                         {16, 1000, 16},
                         {15, 1000, 15}}) {
    INFO(is.rows, " rows of ", is.columns);
    std::vector<Job> jobs;
    const pl::detail::TileRoom room(Watching{is.columns, &jobs}, is.rows);
    CHECK(room.tile_rows == is.tile_rows);
    CHECK(room.tile == (is.tile_rows * is.columns + 15) / 16 * 16);
    CHECK(room.scratch == (is.tile_rows * 3 + 15) / 16 * 16);
    CHECK(room.size() == 2 * room.tile + room.scratch);
  }
}

TEST_CASE("the earlier of two rows is the lower one that there is") {
  using Run = pl::detail::PrepareRun<pl::DefaultBackend, pl::Identity, pl::detail::MatrixRows<float>>;
  int wrong = 0;
  for (index a = -1; a < 4; ++a)
    for (index b = -1; b < 4; ++b) wrong += Run::earlier(a, b) != (a < 0 ? b : b < 0 ? a : std::min(a, b)) ? 1 : 0;
  CHECK(wrong == 0);
}

TEST_CASE("the first bad row is named wherever it is, and all of its values are NaN") {
  const index rows = 5, n = 17;
  for (const bool transformed : {false, true})
    for (const int bits : {16, 8})
      for (const auto mode : {pl::SiteMode::packed, pl::SiteMode::fake})
        for (index bad = 0; bad < rows; ++bad)
          for (const index column : {index{0}, index{15}, index{16}}) {
            INFO("bits ", bits, ", transform ", transformed, ", row ", bad, ", column ", column);
            const auto transform =
                transformed ? pl::AnyTransform(pl::Scale(samples::factors(n, 3))) : pl::AnyTransform::identity(n);
            const auto site = made(pl::AnySite::make(transform, {.bits = bits}, mode));
            Matrix x(rows, n, 4);
            x.view()(bad, column) = std::numeric_limits<float>::infinity();
            if (bad + 2 < rows) x.view()(bad + 2, 0) = std::numeric_limits<float>::quiet_NaN();
            Memory memory(site.workspace_size(rows));
            auto workspace = memory.workspace();
            pl::QuantizedInput in;
            CHECK(samples::text(site.prepare(x.view(), in, workspace)) ==
                  "row " + std::to_string(bad) + " of the input holds NaN or infinity");
            index wrong = 0;
            for (index r = 0; r < rows; ++r) {
              const bool is_bad = r == bad || (r == bad + 2 && bad + 2 < rows);
              if (bits != 16) wrong += std::isfinite(in.codes.scales[r]) == is_bad ? 1 : 0;
              for (index c = 0; c < n && in.is_float(); ++c) wrong += std::isfinite(in.values(r, c)) == is_bad ? 1 : 0;
            }
            CHECK(wrong == 0);
          }
}

TEST_CASE("of bad rows that several workers meet, in any order, the first is named") {
  const index rows = 48, n = 1024;
  for (const int bits : {16, 8})
    for (const bool transformed : {false, true})
      for (const auto& bad : {std::array<index, 2>{0, 40}, {3, 20}, {17, 47}, {0, 1}, {46, 47}}) {
        const auto transform =
            transformed ? pl::AnyTransform(pl::Scale(samples::factors(n, 3))) : pl::AnyTransform::identity(n);
        const auto site = made(pl::AnySite::make(transform, {.bits = bits}));
        Matrix x(rows, n, 4);
        for (const index row : bad) x.view()(row, 5) = std::numeric_limits<float>::quiet_NaN();
        samples::Shuffled shuffled;
        Counting counting;
        const auto check = [&](pl::ExecutorReference executor) {
          Memory memory(site.workspace_size(rows, executor.workers()));
          auto workspace = memory.workspace();
          pl::QuantizedInput in;
          CHECK(samples::text(site.prepare(x.view(), in, workspace, executor)) ==
                "row " + std::to_string(bad[0]) + " of the input holds NaN or infinity");
        };
        check(shuffled);
        check(counting);
      }
}

TEST_CASE("the position of the first bad row, for every position of a bad value") {
  for (const index n : {1, 2, 15, 16, 17, 31, 32, 33, 40})
    for (const guarded::Edge edge : guarded::edges) {
      const index rows = 3;
      const guarded::Buffer<float> memory(rows * n, edge);
      const pl::MatrixView<float> x(memory.data(), rows, n);
      CHECK(pl::detail::first_bad_row(x) == -1);
      index wrong = 0;
      for (index r = 0; r < rows; ++r)
        for (index c = 0; c < n; ++c) {
          for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
            x(r, c) = bad;
            wrong += pl::detail::first_bad_row(x) != r ? 1 : 0;
          }
          pl::detail::fill_bad_rows(x);
          for (index i = 0; i < rows * n; ++i) wrong += std::isnan(memory.data()[i]) != (i / n == r) ? 1 : 0;
          for (float& value : memory.span()) value = std::numeric_limits<float>::max();
        }
      CHECK(wrong == 0);
    }
}

TEST_CASE("threads are asked only for work that is worth it, and given tiles that go round") {
  const index n = 1024;
  const auto tasks = [&](const pl::AnyTransform& transform, index rows, int workers,
                         std::vector<index>* runs = nullptr) {
    const auto site = made(pl::AnySite::make(transform, {.bits = 8}));
    Memory memory(site.workspace_size(rows, workers));
    auto workspace = memory.workspace();
    Counting executor{workers};
    std::vector<index> noted;
    std::array<pl::QuantizedInput, 1> in;
    REQUIRE(site.prepare(NotedRows{rows, n, runs == nullptr ? &noted : runs}, in, workspace, executor).ok());
    return executor.tasks;
  };
  const pl::AnyTransform copied = pl::AnyTransform::identity(n), scaled{pl::Scale(samples::factors(n, 3))};
  CHECK(tasks(copied, 1000, 1) == 0);  // one worker is the caller
  CHECK(tasks(copied, 31, 3) == 0);
  CHECK(tasks(copied, 32, 3) == 3);  // 11, 11 and 10 rows
  CHECK(tasks(scaled, 15, 3) == 0);
  CHECK(tasks(scaled, 16, 3) == 3);
  CHECK(tasks(copied, 32, 8) == 8);  // 4 rows each
  CHECK(tasks(copied, 33, 8) == 7);  // 5 rows, and 3
  CHECK(tasks(copied, 64, 2) == 4);  // never more than a tile of 16
  CHECK(tasks(copied, 65, 2) == 5);
  std::vector<index> runs;
  tasks(copied, 33, 1, &runs);
  CHECK(runs == std::vector<index>{16, 16, 1});
  runs.clear();
  tasks(copied, 32, 1, &runs);
  CHECK(runs == std::vector<index>{16, 16});
  runs.clear();
  tasks(copied, 0, 3, &runs);
  CHECK(runs.empty());
  runs.clear();
  tasks(copied, 33, 8, &runs);
  CHECK(runs == std::vector<index>{5, 5, 5, 5, 5, 5, 3});
}

bool apart(std::span<const float> a, std::span<const float> b) {
  return a.empty() || b.empty() || a.data() + a.size() <= b.data() || b.data() + b.size() <= a.data();
}

TEST_CASE("a tile's rows, transformed rows and scratch lie apart, and apart from those of every other worker") {
  const index n = 1024, rows = 60;
  for (const bool dense : {true, false}) {
    std::vector<Job> jobs;
    const auto site = made(pl::Site<A8, Watching>::make(Watching{n, &jobs}));
    const Matrix wide(rows, n * 2, 4);
    const pl::MatrixView<const float> x =
        dense ? wide.view().middle_columns(0, n) : pl::MatrixView<const float>(wide.values.data(), rows, n, 2 * n, 2);
    std::vector<std::byte> memory(site.workspace_size(rows, 3));
    pl::Workspace workspace{std::span<std::byte>(memory)};
    Counting executor;
    pl::QuantizedInput in;
    REQUIRE(site.prepare(x, in, workspace, executor).ok());
    REQUIRE(static_cast<int>(jobs.size()) == executor.tasks);
    REQUIRE(jobs.size() > 3);
    const auto* const first = reinterpret_cast<const float*>(in.codes.sums);
    const std::span<const float> inside(
        first, static_cast<std::size_t>(reinterpret_cast<const float*>(memory.data() + memory.size()) - first));
    index at = 0, wrong = 0;
    std::vector<std::vector<std::span<const float>>> of_worker(3);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const Job& job = jobs[i];
      const std::span<const float> read(job.x, static_cast<std::size_t>(job.rows * n));
      wrong +=
          !apart(job.room, job.scratch) || (!dense && (!apart(read, job.room) || !apart(read, job.scratch))) ? 1 : 0;
      wrong += job.scratch.size() < static_cast<std::size_t>(job.rows * 3) ? 1 : 0;
      at += job.rows;
      wrong += job.behind != (dense ? rows - at : 0) ? 1 : 0;
      auto& own = of_worker[i % 3];
      own.push_back(job.room);
      own.push_back(job.scratch);
      if (!dense) own.push_back(read);
      for (const auto& piece : own)
        wrong += piece.data() < inside.data() || piece.data() + piece.size() > inside.data() + inside.size() ? 1 : 0;
    }
    CHECK(at == rows);
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t b = 0; b < a; ++b)
        for (const auto& mine : of_worker[a])
          for (const auto& other : of_worker[b]) wrong += apart(mine, other) ? 0 : 1;
    CHECK(wrong == 0);
  }
}

TEST_CASE("rows made for one tile have none behind them") {
  std::vector<Job> jobs;
  std::vector<index> runs;
  const auto site = made(pl::Site<A8, Watching>::make(Watching{64, &jobs}));
  Memory memory(site.workspace_size(70));
  auto workspace = memory.workspace();
  pl::QuantizedInput in;
  REQUIRE(site.prepare(NotedRows{70, 64, &runs}, in, workspace).ok());
  CHECK(runs == std::vector<index>{32, 32, 6});
  for (const Job& job : jobs) CHECK(job.behind == 0);
}

TEST_CASE("a composition tells its only stage of the rows behind a tile, and a last stage behind others of none") {
  for (const bool alone : {true, false}) {
    const index n = 64, rows = 70;
    std::vector<Job> jobs;
    pl::AnyTransform transform = pl::AnyTransform::identity(n);
    if (!alone) REQUIRE(transform.append(pl::AnyTransform(pl::Scale(samples::factors(n, 1)))).ok());
    REQUIRE(transform.append(pl::AnyTransform(Watching{n, &jobs})).ok());
    const auto site = made(pl::AnySite::make(transform, {.bits = 8}));
    const Matrix x(rows, n, 3);
    Memory memory(site.workspace_size(rows));
    auto workspace = memory.workspace();
    pl::QuantizedInput in;
    REQUIRE(site.prepare(x.view(), in, workspace).ok());
    index at = 0, wrong = 0;
    for (const Job& job : jobs) {
      at += job.rows;
      wrong += job.rows < 1 || job.rows > 8 || job.behind != (alone ? rows - at : 0) ? 1 : 0;
    }
    CHECK(at == rows);
    CHECK(jobs.size() == 9);  // 32, 32 and 6 rows in eights
    CHECK(wrong == 0);
  }
}

TEST_CASE("a workspace of exactly the bytes that are asked for is enough, one less is not") {
  for (const int bits : {16, 8, 4})
    for (const auto mode : {pl::SiteMode::packed, pl::SiteMode::fake})
      for (const index rows : {1, 7, 40})
        for (const int workers : {1, 3}) {
          const index n = 65;
          const auto site =
              made(pl::AnySite::make(pl::AnyTransform(pl::Scale(samples::factors(n, 3))), {.bits = bits}, mode));
          const std::size_t needed = site.workspace_size(rows, workers) - pl::buffer_alignment;
          auto memory = made(pl::AlignedBuffer<std::byte>::make(static_cast<index>(needed)));
          const Matrix x(rows, n, 5);
          Counting executor{workers};
          pl::QuantizedInput in;
          pl::Workspace exact(memory.span()), less(memory.span().first(needed - 1));
          CHECK(site.prepare(x.view(), in, exact, executor).ok());
          CHECK(samples::text(site.prepare(x.view(), in, less, executor)) ==
                "a site of 65 channels needs a workspace of " + std::to_string(needed) + " bytes for " +
                    std::to_string(rows) + " rows and " + std::to_string(workers) + " workers, not " +
                    std::to_string(needed - 1));
        }
}

TEST_CASE("no rows that stay float are an input of floats, also where there is no memory behind them") {
  const auto site = made(pl::AnySite::make(pl::AnyTransform::identity(64), {.bits = 16}));
  Memory memory(site.workspace_size(0));
  auto workspace = memory.workspace();
  pl::QuantizedInput in;
  REQUIRE(site.prepare(pl::MatrixView<const float>(nullptr, 0, 64), in, workspace).ok());
  CHECK(in.is_float());
  CHECK(in.rows() == 0);
  CHECK(in.columns() == 64);
}

TEST_CASE("every consumer's input is written, and nothing behind the last") {
  for (const int bits : {16, 8})
    for (const index consumers : {1, 2, 5})
      for (const guarded::Edge edge : guarded::edges) {
        const auto site = made(pl::AnySite::make(pl::AnyTransform::identity(64), {.bits = bits}));
        const guarded::Buffer<pl::QuantizedInput> in(consumers, edge);
        const Matrix x(3, 64, 5);
        Memory memory(site.workspace_size(3));
        auto workspace = memory.workspace();
        REQUIRE(site.prepare(x.view(), in.span(), workspace).ok());
        for (const pl::QuantizedInput& input : in.span()) CHECK(input.rows() == 3);
        Matrix bad = x;
        bad.view()(0, 0) = std::numeric_limits<float>::infinity();
        auto again = memory.workspace();
        CHECK(site.prepare(bad.view(), in.span(), again).code() == pl::ErrorCode::not_finite);
      }
}

TEST_CASE("rows in the middle of an input of floats have no codes") {
  const Matrix x(5, 8, 1);
  pl::QuantizedInput in;
  in.values = x.view();
  const pl::QuantizedInput part = in.middle_rows(1, 3);
  CHECK(part.codes.rows == 0);
  CHECK(part.values.data() == x.values.data() + 8);
  CHECK(part.rows() == 3);
}

TEST_CASE("rows of 16 bits are widened and narrowed to their end and no further") {
  for (const guarded::Edge edge : guarded::edges)
    for (const index rows : {1, 3}) {
      const index n = 7;
      const guarded::Buffer<pl::Half> narrow(rows * n, edge);
      const guarded::Buffer<float> wide(rows * n, edge);
      for (pl::Half& value : narrow.span()) value = pl::Half::from_float(1.5f);
      const pl::MatrixView<float> y(wide.data(), rows, n);
      pl::detail::widen_rows(pl::MatrixView<const pl::Half>(narrow.data(), rows, n), y);
      CHECK(std::all_of(wide.span().begin(), wide.span().end(), [](float value) { return value == 1.5f; }));
      for (float& value : wide.span()) value = 2.5f;
      pl::detail::narrow_rows(pl::MatrixView<const float>(y), pl::MatrixView<pl::Half>(narrow.data(), rows, n));
      CHECK(std::all_of(narrow.span().begin(), narrow.span().end(),
                        [](pl::Half value) { return value.to_float() == 2.5f; }));
    }
}

TEST_CASE("quantizers of a site: static scales and zero points at the edges of what they may be") {
  const auto ok = [](const pl::RowQuantizer& q) { return pl::detail::check_site_quantizer(q).ok(); };
  const auto with_zero = [](int bits, std::int32_t zero) {
    return pl::RowQuantizer{
        .bits = bits, .symmetry = pl::Symmetry::asymmetric, .static_scale = 0.5f, .static_zero_point = zero};
  };
  CHECK(ok({.bits = 8, .static_scale = pl::least_scale}));
  CHECK_FALSE(ok({.bits = 8, .static_scale = std::nextafter(pl::least_scale, 0.0f)}));
  CHECK_FALSE(ok({.bits = 8, .static_scale = std::numeric_limits<float>::infinity()}));
  for (const int bits : {2, 4, 8}) {
    CHECK(ok(with_zero(bits, 0)));
    CHECK(ok(with_zero(bits, (1 << bits) - 1)));
    CHECK_FALSE(ok(with_zero(bits, -1)));
    CHECK_FALSE(ok(with_zero(bits, 1 << bits)));
  }
  CHECK(ok({.bits = 4, .static_scale = 0.5f, .static_zero_point = 99}));                  // symmetric
  CHECK(ok({.bits = 4, .symmetry = pl::Symmetry::asymmetric, .static_zero_point = 99}));  // dynamic
  CHECK(ok({.bits = 16, .clip = {0.0f, 0.0f}}));
}

TEST_CASE("a site has one to eight quantizers, and serves consumers only if there are some") {
  for (std::size_t count = 0; count <= 10; ++count) {
    std::vector<pl::RowQuantizer> own;
    for (std::size_t i = 0; i < count; ++i)
      own.push_back({.bits = 8, .clip = {0.5f + 0.05f * static_cast<float>(i), 1.0f}});
    const auto site = pl::AnySite::make(pl::AnyTransform::identity(4), own);
    REQUIRE(site.has_value() == (count >= 1 && count <= 8));
    if (site.has_value()) CHECK(site->inputs() == static_cast<int>(count));
  }
  const auto site = made(pl::AnySite::make(pl::AnyTransform::identity(64), {.bits = 8}));
  const Matrix x(2, 64, 5);
  Memory memory(site.workspace_size(2));
  auto workspace = memory.workspace();
  CHECK(site.prepare(x.view(), std::span<pl::QuantizedInput>(), workspace).code() == pl::ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace preparing
