// What products ask for and where they work: workspaces, scratch of each worker, blocks of rows, sizes.
#include <array>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "guarded_memory.hpp"
#include "linear/samples.hpp"

namespace products {
namespace {

namespace pl = planish;
using pl::index;
using samples::made;
using samples::Matrix;
using samples::Memory;
using OnReference = pl::LinearOn<pl::Reference>;

/// Runs every task on the last worker.
struct OnLast {
  int count = 3, tasks = 0;
  [[nodiscard]] int workers() const noexcept { return count; }
  template <class Work>
  void run(int given, Work&& work) noexcept {
    tasks += given;
    for (int task = 0; task < given; ++task) work(task, count - 1);
  }
};

struct Prepared {
  pl::AnySite site;
  Memory memory;
  pl::QuantizedInput in;

  Prepared(const Matrix& x, int bits)
      : site(made(pl::AnySite::make(pl::AnyTransform::identity(x.columns), pl::RowQuantizer{.bits = bits}))),
        memory(site.workspace_size(x.rows)) {
    auto workspace = memory.workspace();
    REQUIRE(site.prepare(x.view(), in, workspace).ok());
  }
};

TEST_CASE("scratch grows with the rows up to one block: 32 that float weights dequantize, 128 that round to 16 bits") {
  const index n = 64, out = 48;
  const Matrix w(out, n, 1);
  const auto linear = made(OnReference::make_float(w.view()));
  const auto block = [](index rows, index columns) { return pl::workspace_bytes<float>(rows * columns); };
  for (const index rows : {0, 1, 31, 32, 33, 127, 128, 129, 1000})
    for (const int workers : {1, 3}) {
      INFO(rows, " rows, ", workers, " workers");
      const std::size_t floats =
          pl::buffer_alignment + static_cast<std::size_t>(workers) * block(std::min<index>(rows, 32), n);
      CHECK(linear.workspace_size(rows, workers) == floats);
      CHECK(linear.workspace_size<pl::Half>(rows, workers) == floats + block(std::min<index>(rows, 128), out));
    }
}

TEST_CASE("a worker works in its own part of the scratch") {
  const index n = 576, rows = 70;
  const Matrix x(rows, n, 2);
  const Prepared prepared(x, 8);
  const auto linear = made(OnReference::make_float(Matrix(96, n, 1).view()));
  Matrix y(rows, 96);
  for (const bool together : {false, true})
    for (const int workers : {2, 3}) {
      const std::size_t bytes = linear.workspace_size(rows, workers) - pl::buffer_alignment;
      auto memory = made(pl::AlignedBuffer<std::byte>::make(static_cast<index>(bytes)));
      for (std::byte& byte : memory.span()) byte = std::byte{0x5a};
      OnLast executor{workers};
      const pl::SiteProduct<pl::Reference> product{&linear, &prepared.in, y.view()};
      const pl::Workspace workspace(memory.span());
      REQUIRE((together ? pl::multiply_together(std::array{product}, workspace, executor)
                        : linear.multiply(prepared.in, y.view(), workspace, executor))
                  .ok());
      REQUIRE(executor.tasks > 1);
      const std::size_t each = bytes / static_cast<std::size_t>(workers);
      index touched = 0, own = 0;
      for (std::size_t i = 0; i < bytes; ++i)
        (i < bytes - each ? touched : own) += memory.span()[i] != std::byte{0x5a} ? 1 : 0;
      CHECK(touched == 0);
      CHECK(own > 0);
    }
}

TEST_CASE("a workspace of exactly the bytes that are asked for is enough, one less is not, for any workers") {
  const index n = 64, rows = 6;
  const Matrix x(rows, n, 2);
  const Prepared prepared(x, 8);
  const auto linear = made(pl::AnyLinear::make_float(Matrix(40, n, 1).view()));
  Matrix y(rows, 40), z(rows, 40);
  for (const int workers : {1, 2, 5}) {
    const std::size_t needed = linear.workspace_size(rows, workers) - pl::buffer_alignment;
    auto memory = made(pl::AlignedBuffer<std::byte>::make(static_cast<index>(needed)));
    const pl::Workspace exact(memory.span()), less(memory.span().first(needed - 1));
    OnLast executor{workers};
    const std::array<pl::SiteProduct<pl::DefaultBackend>, 2> both{
        pl::SiteProduct<pl::DefaultBackend>{&linear, &prepared.in, y.view()}, {&linear, &prepared.in, z.view()}};
    const std::string rest = " needs a workspace of " + std::to_string(needed) + " bytes for 6 rows and " +
                             std::to_string(workers) + " workers";
    CHECK(linear.multiply(prepared.in, y.view(), exact, executor).ok());
    CHECK(samples::text(linear.multiply(prepared.in, y.view(), less, executor)) == "a linear of 40 x 64" + rest);
    CHECK(pl::multiply_together(both, exact, executor).ok());
    CHECK(samples::text(pl::multiply_together(both, less, executor)) == "the products of a site need" + rest.substr(6));
    CHECK(pl::together_workspace_size(both, rows, workers) == linear.workspace_size(rows, workers));
  }
}

TEST_CASE("products of no rows ask no thread and need no workspace") {
  const Matrix none(0, 576);
  const Prepared prepared(none, 8);
  const auto linear = made(pl::AnyLinear::make_float(Matrix(96, 576, 1).view()));
  Matrix y(0, 96);
  OnLast executor;
  const std::array<pl::SiteProduct<pl::DefaultBackend>, 1> one{
      pl::SiteProduct<pl::DefaultBackend>{&linear, &prepared.in, y.view()}};
  CHECK(pl::multiply_together(one, pl::Workspace{}, executor).ok());
  CHECK(linear.multiply(prepared.in, y.view(), pl::Workspace{}, executor).ok());
  CHECK(executor.tasks == 0);
}

TEST_CASE("a bias adds its bytes to a layer, and is read to its end and no further") {
  const Matrix w(40, 64, 1, 0.05);
  const auto codes = made(pl::quantize_weights(w.view(), {.bits = 4}));
  for (const guarded::Edge edge : guarded::edges) {
    const guarded::Buffer<float> bias(40, edge);
    for (float& value : bias.span()) value = 0.5f;
    const auto plain = made(pl::AnyLinear::make(codes.view())),
               biased = made(pl::AnyLinear::make(codes.view(), bias.span()));
    CHECK(biased.size_bytes() == plain.size_bytes() + 40 * sizeof(float));
    CHECK(biased.bias().size() == 40);
    const auto floats = made(pl::AnyLinear::make_float(w.view()));
    CHECK(made(pl::AnyLinear::make_float(w.view(), bias.span())).size_bytes() ==
          floats.size_bytes() + 40 * sizeof(float));
  }
}

TEST_CASE("an output and a residual that are wrong in rows or in columns alone are refused, in float and in 16 bits") {
  const index rows = 4, n = 8, out = 6;
  const Matrix x(rows, n, 2);
  const Prepared prepared(x, 8);
  const auto linear = made(pl::AnyLinear::make_float(Matrix(out, n, 1).view()));
  Memory memory(linear.workspace_size<pl::Half>(rows + 1));
  std::vector<float> floats(100);
  std::vector<pl::Half> halves(100), others(100);
  const auto codes = [&](index y_rows, index y_columns, index r_rows, index r_columns) {
    const auto single =
        linear.multiply(prepared.in, pl::MatrixView<float>(floats.data(), y_rows, y_columns), memory.workspace(), {},
                        pl::MatrixView<const float>(floats.data() + 50, r_rows, r_columns));
    const auto half =
        linear.multiply(prepared.in, pl::MatrixView<pl::Half>(halves.data(), y_rows, y_columns), memory.workspace(), {},
                        pl::MatrixView<const pl::Half>(others.data(), r_rows, r_columns));
    CHECK(single.code() == half.code());
    return single.code();
  };
  CHECK(codes(rows, out, rows, out) == pl::ErrorCode::ok);
  CHECK(codes(rows + 1, out, rows, out) == pl::ErrorCode::shape_mismatch);
  CHECK(codes(rows, out + 1, rows, out) == pl::ErrorCode::shape_mismatch);
  CHECK(codes(rows, out, rows + 1, out) == pl::ErrorCode::shape_mismatch);
  CHECK(codes(rows, out, rows, out + 1) == pl::ErrorCode::shape_mismatch);
  CHECK(codes(rows, out, rows, out - 1) == pl::ErrorCode::shape_mismatch);
}

/// The identity, which counts how often its dual is asked for: once for each block of weights.
struct CountedDuals {
  index n;
  int* duals;
  [[nodiscard]] index size() const { return n; }
  [[nodiscard]] index scratch_size(index) const { return 0; }
  template <class T>
  void apply(pl::MatrixView<const T> x, pl::MatrixView<T> y, std::span<T>) const {
    for (index r = 0; r < x.rows(); ++r)
      for (index c = 0; c < n; ++c) y(r, c) = x(r, c);
  }
  [[nodiscard]] CountedDuals dual() const {
    ++*duals;
    return *this;
  }
};

TEST_CASE("weights are folded 64 rows at a time, each with its own bias") {
  for (const index rows : {1, 63, 64, 65, 128, 130}) {
    INFO("rows ", rows);
    int duals = 0;
    const Matrix w(rows, 7, 3);
    const auto bias = samples::offsets(rows, 4);
    const auto folded = made(pl::detail::fold_weights(CountedDuals{7, &duals}, w.view(), bias));
    CHECK(duals == (rows + 63) / 64);
    CHECK(samples::different_bits(folded.view(), w.view()) == 0);
    CHECK(std::vector<float>(folded.bias.span().begin(), folded.bias.span().end()) == bias);
    const auto shifted = made(pl::detail::fold_weights(pl::Shift(std::vector<float>(7, 2.0f)), w.view(), bias));
    double worst = 0.0;
    for (index r = 0; r < rows; ++r) {
      double sum = static_cast<double>(bias[static_cast<std::size_t>(r)]);
      for (index c = 0; c < 7; ++c) sum += 2.0 * static_cast<double>(w.view()(r, c));
      worst = std::fmax(worst, std::fabs(sum - static_cast<double>(shifted.bias.span()[static_cast<std::size_t>(r)])));
    }
    CHECK(worst < 1e-3);
    CHECK(made(pl::detail::fold_weights(pl::Identity(7), w.view(), {})).bias.span().empty());
  }
}

TEST_CASE("work of five rows is that of reading the weights; from 256 K weights on it is worth another task") {
  using pl::detail::split_product;
  const auto tasks = [](index rows, index weights, int workers) {
    return split_product(rows, weights / (pl::panel_width * 64), 64, workers).tasks();
  };
  constexpr index task = 256 * 1024;
  for (const index rows : {1, 4, 5}) {
    INFO("rows ", rows);
    CHECK(tasks(rows, task, 4) == 1);
    CHECK(tasks(rows, 2 * task - 2048, 4) == 1);
    CHECK(tasks(rows, 2 * task, 4) == 2);
    CHECK(tasks(rows, 3 * task, 4) == 3);
    CHECK(tasks(rows, 100 * task, 4) == 16);
    CHECK(tasks(rows, 100 * task, 2) == 8);
    CHECK(tasks(rows, 100 * task, 1) == 1);
  }
  CHECK(tasks(10, task + 10240, 4) == 2);
  CHECK(tasks(0, 100 * task, 4) == 1);
  CHECK(split_product(64, 1, 100000, 4).row_parts == 2);
  CHECK(split_product(63, 1, 100000, 4).row_parts == 1);
  CHECK(split_product(3200, 3, 100000, 4).row_parts == 6);  // 16 tasks of 3 panels
}

}  // namespace
}  // namespace products
