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

}  // namespace
