// The host's switch: off until asked, the same bits on and off, on every thread.
#include <cstring>
#include <thread>

#include <doctest/doctest.h>

#include <planish/linear/quantized_linear.hpp>

#include "kernels/samples.hpp"

namespace pl = planish;

namespace {

using Layer = pl::QuantizedLinear<pl::Quantizer<4, pl::PerChannel>, pl::Quantizer<8, pl::PerToken>>;

std::vector<float> forward(const Layer& layer, const std::vector<float>& x, pl::index rows) {
  std::vector<float> y(static_cast<std::size_t>(rows * layer.rows()));
  std::vector<std::byte> memory(layer.workspace_size(rows));
  CHECK(layer.forward({x.data(), rows, layer.columns()}, {y.data(), rows, layer.rows()}, pl::Workspace(memory)).ok());
  return y;
}

TEST_CASE("AMX is off until the host enables it, and changes no bit") {
  CHECK(!pl::amx_is_enabled());
  pl::Random random(3);
  const pl::index rows = 70, in = 200, out = 90;
  const std::vector<float> w = samples::floats(out * in, random), x = samples::floats(rows * in, random);
  const auto layer = Layer::make({w.data(), out, in}, {}, pl::Identity(in));
  REQUIRE(layer.has_value());
  const std::vector<float> before = forward(*layer, x, rows);
  const pl::Status status = pl::enable_amx();
  CHECK(pl::amx_is_enabled() == status.ok());
  if (!status) {
    CHECK(status.code() == pl::ErrorCode::unsupported);
    CHECK(!status.message().empty());
    MESSAGE(std::string(status.message()));
    return;
  }
  CHECK(pl::enable_amx().ok());  // again
  CHECK(layer->describe().find("amx from 16 rows on") != std::string::npos);
  std::vector<float> after, elsewhere;
  after = forward(*layer, x, rows);
  std::thread([&] { elsewhere = forward(*layer, x, rows); }).join();
  CHECK(std::memcmp(after.data(), before.data(), before.size() * sizeof(float)) == 0);
  CHECK(std::memcmp(elsewhere.data(), before.data(), before.size() * sizeof(float)) == 0);
  pl::disable_amx();
  CHECK(!pl::amx_is_enabled());
  CHECK(layer->describe().find("amx is not enabled") != std::string::npos);
  CHECK(forward(*layer, x, rows) == before);
}

TEST_CASE("int32 sums by tiles are the reference's") {
  if (!pl::enable_amx().ok()) return;
  pl::Random random(4);
  const pl::index rows = 40, in = 130, out = 70;
  const std::vector<float> w = samples::floats(out * in, random), x = samples::floats(rows * in, random);
  const auto layer = Layer::make({w.data(), out, in}, {}, pl::Identity(in));
  REQUIRE(layer.has_value());
  std::vector<std::byte> memory(layer->workspace_size(rows));
  pl::Workspace workspace(memory);
  const pl::QuantizedInput input = layer->site().prepare({x.data(), rows, in}, workspace);
  const pl::PackedWeightsView packed = layer->linear().packed();
  auto scratch = pl::AlignedBuffer<std::byte>::make(
      static_cast<pl::index>(pl::multiply_scratch_bytes(pl::Cpu{}, rows, in, packed.groups())));
  REQUIRE(scratch.has_value());
  std::vector<std::int32_t> sums(static_cast<std::size_t>(rows * out)), exact(sums.size());
  const pl::Range all{0, pl::panel_count(out)};
  pl::multiply_accumulators(pl::Cpu{}, input.codes, packed, {sums.data(), rows, out}, all, scratch->span());
  pl::multiply_accumulators(pl::Reference{}, input.codes, packed, {exact.data(), rows, out}, all, {});
  CHECK(sums == exact);
  pl::disable_amx();
}

}  // namespace
