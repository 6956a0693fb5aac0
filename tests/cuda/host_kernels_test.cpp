// The reference host's own kernels, run by the emulator, against plain loops.
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/kernels/reference/norm_rows.hpp>
#include <planish/kernels/reference/swiglu_rows.hpp>

#include "../../examples/llama/cuda/float_attention.cuh"
#include "../../examples/llama/cuda/float_product.cuh"
#include "../../examples/llama/cuda/row_kernels.cuh"
#include "emulator.hpp"

namespace gpu = llama::gpu;
namespace pl = planish;

namespace {

std::vector<float> normals(std::uint64_t seed, int count) {
  pl::Random random(seed);
  std::vector<float> values;
  for (int i = 0; i < count; ++i) values.push_back(static_cast<float>(random.normal()));
  return values;
}

template <class Kernel, class... Arguments>
void run(Kernel* kernel, int blocks, int threads, int shared_bytes, const Arguments&... arguments) {
  emulator::forget_faults();
  const auto status = emulator::Launcher{static_cast<std::uint64_t>(blocks)}(
      kernel, pl::kernels::cuda::LaunchShape{blocks, threads, shared_bytes}, arguments...);
  CHECK(status.ok());
  CHECK(emulator::faults() == 0);
}

TEST_CASE("a kernel asks for as many blocks of a multiprocessor as fit, and no more than it wants") {
  using pl::kernels::cuda::resident_blocks;
  CHECK(resident_blocks(128, 4) == 4);
  CHECK(resident_blocks(256, 32) == 8);   // 2048 threads
  CHECK(resident_blocks(1024, 3) == 2);   // the same
  CHECK(resident_blocks(32, 100) == 32);  // slots for blocks
  static_assert(resident_blocks(768, 9) == 2);
}

TEST_CASE("RMSNorm is the reference's") {
  for (const int columns : {1, 8, 300, 576}) {
    const auto x = normals(1, 3 * columns), gain = normals(2, columns);
    std::vector<float> y(x.size()), expected(x.size());
    run(gpu::rms_norm_rows<>, 3, gpu::row_threads, gpu::row_threads * 8, x.data(), gain.data(), 1e-5f, columns,
        y.data());
    pl::kernels::reference::rms_norm_rows({x.data(), 3, columns}, gain.data(), 1e-5f, {expected.data(), 3, columns});
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == doctest::Approx(expected[i]).epsilon(1e-6));
  }
}

/// Rows of heads, turned one by one.
std::vector<float> turned_heads(std::vector<float> x, int heads, int size, const std::vector<std::int32_t>& positions,
                                const gpu::RotaryTable& table) {
  for (std::size_t at = 0; at < x.size() / static_cast<std::size_t>(size); ++at)
    for (int i = 0; i < table.turned; ++i) {
      float* const head = x.data() + at * static_cast<std::size_t>(size);
      float& first = head[table.interleaved ? 2 * i : i];
      float& second = head[table.interleaved ? 2 * i + 1 : i + table.turned];
      const int p = positions[at / static_cast<std::size_t>(heads)] * table.turned + i;
      const float a = first, b = second;
      first = a * table.cosines[p] - b * table.sines[p];
      second = a * table.sines[p] + b * table.cosines[p];
    }
  return x;
}

TEST_CASE("RoPE turns the pairs of either order, and leaves the rest") {
  constexpr int heads = 6, kv_heads = 3, size = 12, turned = 5, rows = 4;
  const std::vector<std::int32_t> positions{7, 0, 2, 3};
  std::vector<float> cosines, sines;
  for (int p = 0; p < 8; ++p)
    for (int i = 0; i < turned; ++i) {
      cosines.push_back(static_cast<float>(std::cos(p / (1.0 + i))));
      sines.push_back(static_cast<float>(std::sin(p / (1.0 + i))));
    }
  for (const bool interleaved : {false, true}) {
    const gpu::RotaryTable table{cosines.data(), sines.data(), turned, interleaved};
    const auto q = normals(3, rows * heads * size), k = normals(4, rows * kv_heads * size);
    auto queries = q, keys = k;
    run(gpu::rotate_rows<>, rows, gpu::row_threads, 0, queries.data(), heads, keys.data(), kv_heads, size,
        positions.data(), table);
    const auto expected_queries = turned_heads(q, heads, size, positions, table),
               expected_keys = turned_heads(k, kv_heads, size, positions, table);
    for (std::size_t i = 0; i < q.size(); ++i) CHECK(queries[i] == doctest::Approx(expected_queries[i]));
    for (std::size_t i = 0; i < k.size(); ++i) CHECK(keys[i] == doctest::Approx(expected_keys[i]));
  }
}

TEST_CASE("SwiGLU is the reference's, and finite far from zero") {
  auto gate = normals(4, 700);
  const auto up = normals(5, 700);
  gate[3] = -200.0f, gate[4] = 200.0f;
  std::vector<float> y(700), expected(700);
  run(gpu::swiglu_elements<>, 2, gpu::row_threads, 0, gate.data(), up.data(), std::int64_t{700}, y.data());
  pl::kernels::reference::swiglu_rows({gate.data(), 1, 700}, {up.data(), 1, 700}, {expected.data(), 1, 700});
  for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == doctest::Approx(expected[i]).epsilon(1e-6));
}

TEST_CASE("rows are gathered, shifted and scaled, stored, and made of codes") {
  constexpr int columns = 5;
  const auto table = normals(6, 9 * columns), offset = normals(7, columns), scale = normals(8, columns);
  const std::vector<std::int32_t> ids{8, 0, 3}, positions{4, 1, 0}, bases{0, 10, 20};
  std::vector<float> rows(3 * columns), mapped(rows.size()), keys(30 * columns), values(keys.size());
  run(gpu::gather_rows<>, 3, gpu::row_threads, 0, table.data(), ids.data(), columns, rows.data());
  run(gpu::map_rows<>, 3, gpu::row_threads, 0, rows.data(), offset.data(), scale.data(), columns, mapped.data());
  run(gpu::store_rows<>, 3, gpu::row_threads, 0, rows.data(), mapped.data(), columns, positions.data(), bases.data(),
      keys.data(), values.data());
  for (std::size_t r = 0; r < 3; ++r)
    for (std::size_t c = 0; c < columns; ++c) {
      const float x = table[static_cast<std::size_t>(ids[r]) * columns + c];
      const auto at = static_cast<std::size_t>(bases[r] + positions[r]) * columns + c;
      CHECK(keys[at] == x);
      CHECK(values[at] == doctest::Approx((x - offset[c]) * scale[c]));
    }
  const std::vector<std::int8_t> codes{1, -2, 3, 4, -5, 0, 0, 0, 7, 7, 7, 7, -7, 0, 0, 0};
  const std::vector<float> scales{0.5f, 2.0f};
  const std::vector<std::int32_t> zeros{1, -1};
  std::vector<float> made(2 * columns);
  run(gpu::dequantize_rows<>, 2, gpu::row_threads, 0,
      pl::QuantizedRowsView{codes.data(), 2, columns, 8, scales.data(), nullptr, zeros.data()}, made.data());
  CHECK(made == std::vector<float>{0.0f, -1.5f, 1.0f, 1.5f, -3.0f, 16.0f, 16.0f, 16.0f, 16.0f, -12.0f});
}

/// A matrix of codes or floats, what it means, and the product of all tokens in float64.
void check_product(int tokens, int rows, int columns, int group_columns, bool asymmetric, bool codes) {
  CAPTURE(tokens);
  CAPTURE(rows);
  CAPTURE(columns);
  CAPTURE(group_columns);
  const int groups = (columns + group_columns - 1) / group_columns;
  pl::Random random(static_cast<std::uint64_t>(tokens + rows + columns));
  std::vector<float> weights = normals(9, rows * columns), scales;
  std::vector<std::uint8_t> stored, zeros;
  for (int i = 0; i < rows * groups; ++i) {
    scales.push_back(static_cast<float>(0.1 + 0.01 * static_cast<double>(i % 7)));
    zeros.push_back(static_cast<std::uint8_t>(random.below(256)));
  }
  gpu::FloatMatrix matrix{.rows = rows, .columns = columns, .values = weights.data()};
  if (codes) {
    for (int i = 0; i < rows * columns; ++i) {
      stored.push_back(static_cast<std::uint8_t>(random.below(256)));
      const auto side = static_cast<std::size_t>(i / columns * groups + i % columns / group_columns);
      const int code = asymmetric ? stored.back() - zeros[side] : static_cast<std::int8_t>(stored.back());
      weights[static_cast<std::size_t>(i)] = static_cast<float>(code) * scales[side];
    }
    matrix = {.rows = rows,
              .columns = columns,
              .codes = stored.data(),
              .asymmetric = asymmetric,
              .group_columns = group_columns,
              .groups = groups,
              .scales = scales.data(),
              .zeros = zeros.data()};
  }
  const auto x = normals(10, tokens * columns), bias = normals(11, rows), residual = normals(12, tokens * rows);
  std::vector<float> y = residual;
  const gpu::FloatProduct product{
      .x = x.data(), .tokens = tokens, .w = matrix, .bias = bias.data(), .residual = y.data(), .y = y.data()};
  const int streams = (rows + gpu::stream_warps - 1) / gpu::stream_warps;
  if (tokens == 1) {
    run(gpu::stream_float_product<1>, streams, gpu::stream_threads, 0, product);
  } else if (tokens <= 8) {
    run(gpu::stream_float_product<8>, streams, gpu::stream_threads, 0, product);
  } else {
    const int token_tiles = (tokens + gpu::tile_side - 1) / gpu::tile_side;
    run(gpu::tile_float_product<>, token_tiles * ((rows + gpu::tile_side - 1) / gpu::tile_side), gpu::tile_threads,
        gpu::tile_shared_bytes, product, token_tiles);
  }
  for (int t = 0; t < tokens; ++t)
    for (int r = 0; r < rows; ++r) {
      const auto at = static_cast<std::size_t>(t * rows + r);
      double sum = static_cast<double>(bias[static_cast<std::size_t>(r)]) + static_cast<double>(residual[at]);
      double magnitude = 1.0;
      for (int c = 0; c < columns; ++c) {
        const double term = static_cast<double>(x[static_cast<std::size_t>(t * columns + c)]) *
                            static_cast<double>(weights[static_cast<std::size_t>(r * columns + c)]);
        sum += term;
        magnitude += std::fabs(term);
      }
      CHECK(std::fabs(static_cast<double>(y[at]) - sum) <= 1e-6 * magnitude);
    }
}

TEST_CASE("products of floats are right for any number of tokens, for floats and for codes") {
  for (const int tokens : {1, 5, 8, 9, 70}) {
    check_product(tokens, 67, 50, 50, false, false);
    check_product(tokens, 9, 100, 24, false, true);
    check_product(tokens, 66, 33, 32, true, true);
  }
}

void check_attention(int heads, int kv_heads, int size, const std::vector<std::int32_t>& positions) {
  CAPTURE(size);
  const auto rows = static_cast<int>(positions.size());
  constexpr int capacity = 45;
  std::vector<std::int32_t> bases;
  for (int r = 0; r < rows; ++r) bases.push_back(r % 2 * capacity);
  const auto query = normals(13, rows * heads * size), keys = normals(14, 2 * capacity * kv_heads * size),
             values = normals(15, 2 * capacity * kv_heads * size);
  std::vector<float> y(query.size());
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  run(gpu::attend_float_rows<>, rows * heads, gpu::attention_threads, gpu::attention_shared_bytes(size),
      gpu::FloatAttention{.query = query.data(),
                          .keys = keys.data(),
                          .values = values.data(),
                          .y = y.data(),
                          .positions = positions.data(),
                          .bases = bases.data(),
                          .heads = heads,
                          .kv_heads = kv_heads,
                          .head_size = size,
                          .softmax_scale = scale});
  for (int r = 0; r < rows; ++r)
    for (int h = 0; h < heads; ++h) {
      const auto at = static_cast<std::size_t>(r);
      std::vector<double> expected(static_cast<std::size_t>(size));
      double sum = 0.0;
      for (int t = 0; t <= positions[at]; ++t) {
        const auto row = static_cast<std::size_t>(((bases[at] + t) * kv_heads + h / (heads / kv_heads)) * size);
        double score = 0.0;
        for (int c = 0; c < size; ++c)
          score += static_cast<double>(query[static_cast<std::size_t>((r * heads + h) * size + c)]) *
                   static_cast<double>(keys[row + static_cast<std::size_t>(c)]);
        const double weight = std::exp(score * static_cast<double>(scale));
        sum += weight;
        for (int c = 0; c < size; ++c)
          expected[static_cast<std::size_t>(c)] +=
              weight * static_cast<double>(values[row + static_cast<std::size_t>(c)]);
      }
      for (int c = 0; c < size; ++c)
        CHECK(static_cast<double>(y[static_cast<std::size_t>((r * heads + h) * size + c)]) ==
              doctest::Approx(expected[static_cast<std::size_t>(c)] / sum).epsilon(1e-5).scale(1.0));
    }
}

TEST_CASE("attention over float rows is a softmax over what a row sees") {
  check_attention(6, 2, 8, {0, 3, 44, 31});
  check_attention(3, 3, 80, {40, 7});
  check_attention(2, 1, 256, {33});
}

}  // namespace
