// What the plans of products and their weights do not take, and the sentence that says so.
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cuda/multiply_plan.cuh>
#include <planish/kernels/cuda/weight_only_plan.cuh>

#include "../kernels/samples.hpp"
#include "emulator.hpp"
#include "refusals.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using cuda::ElementType, cuda::MultiplyPath, cuda::MultiplyShape, cuda::WeightOnlyPath, cuda::WeightOnlyShape;
using pl::index;
using refusals::refusal, refusals::turing;
constexpr const auto& device = emulator::small_device;
constexpr cuda::DeviceCapabilities ada{8, 9, 128, 99 * 1024, false};

alignas(16) std::uint8_t bytes[64] = {};

TEST_CASE("integer products that no kernel takes") {
  const auto refused = [](const MultiplyShape& shape) { return refusal(cuda::plan_multiply(shape, device)); };
  CHECK(refusal(cuda::plan_multiply({1, 64, 64}, turing)) ==
        "integer products need compute capability 8.0, this device has 7.5");
  CHECK(refused({-1, 64, 64}) == "a product of -1 tokens, 64 channels, 64 columns");
  CHECK(refused({1, -64, 64}) == "a product of 1 tokens, -64 channels, 64 columns");
  CHECK(refused({1, 64, -64}) == "a product of 1 tokens, 64 channels, -64 columns");
  CHECK(refused({1, (1 << 24) + 1, 64}) == "a product of 1 tokens, 16777217 channels, 64 columns");
  CHECK(refused({1, 64, 1 << 20}) ==
        "rows of 1048576 codes: exact int32 sums end at " + std::to_string(pl::most_columns));
  CHECK(refused({1, 64, 64, 2}) == "weights are stored in 4 or 8 bits, not 2");
  CHECK(refused({1, 64, 64, 8, ElementType::half, 48}) ==
        "integer products on a GPU take groups of a multiple of 32 columns, not of 48");
  CHECK(refused({1, 64, 64, 8, ElementType::int32, 32}) ==
        "accumulators as outputs: only of weights with one scale per channel");

  CHECK(refused({1 << 24, 1 << 24, 64}) ==
        "a product of 16777216 tokens and 16777216 channels is too large for one launch; take fewer tokens");
  for (const auto& on : {device, ada}) {
    const auto most = cuda::plan_multiply({1 << 24, 1 << 14, 64}, on);
    REQUIRE(most.has_value());
    CHECK(most->launch.blocks > 0);
  }

  const auto planned = [](const MultiplyShape& shape, const cuda::DeviceCapabilities& on, MultiplyPath path) {
    return refusal(cuda::plan_multiply(shape, on, path, 1));
  };
  const std::string hopper = ": needs a Hopper GPU, a driver that describes tensors, and code compiled for sm_90a";
  CHECK(planned({64, 64, 64}, ada, MultiplyPath::pipeline64) == "pipelined tiles of 128 x 64, wgmma s8" + hopper);
  auto old_driver = device;
  old_driver.encode_rows = nullptr;
  CHECK(planned({64, 64, 64}, old_driver, MultiplyPath::pipeline16) ==
        "pipelined tiles of 128 x 16, wgmma s8" + hopper);
  CHECK(planned({64, 64, 0}, device, MultiplyPath::pipeline64) ==
        "pipelined tiles of 128 x 64, wgmma s8: needs columns");
  CHECK(planned({64, 64, 64}, device, MultiplyPath::grouped8) ==
        "group scales, 64 x 8, mma.sync s8: takes scales of groups of columns");
  CHECK(planned({64, 64, 64, 8, ElementType::half, 32}, device, MultiplyPath::stream8) ==
        "streamed weights, 8 tokens, mma.sync s8: takes one scale per channel");
  const auto large = cuda::plan_multiply({64, 64, 64}, device, MultiplyPath::tiles256, 1);
  REQUIRE(large.has_value());
  CHECK(planned({64, 64, 64}, ada, MultiplyPath::tiles256) == "tiles of 128 x 256, mma.sync s8: needs " +
                                                                  std::to_string(large->launch.shared_bytes) +
                                                                  " bytes of shared memory, the device gives 101376");
}

TEST_CASE("arguments of another integer product than the planned one") {
  const auto plan = cuda::plan_multiply({3, 64, 64, 8}, device, MultiplyPath::stream8, 1),
             split = cuda::plan_multiply({3, 64, 128, 8}, device, MultiplyPath::stream8, 2),
             pipeline = cuda::plan_multiply({3, 64, 64, 8}, device, MultiplyPath::pipeline16, 1);
  REQUIRE(plan.has_value());
  REQUIRE(split.has_value());
  REQUIRE(pipeline.has_value());
  CHECK(std::string(plan->describe()) == "streamed weights, 8 tokens, mma.sync s8");
  CHECK(std::string(pipeline->describe()) == "pipelined tiles of 128 x 16, wgmma s8");
  cuda::MultiplyArguments a;
  a.x = {reinterpret_cast<const std::int8_t*>(bytes), 3, 64, 64, nullptr, nullptr, nullptr};
  a.w.stored_bits = 8;
  a.w.channels = a.w.columns = 64;
  a.w.units = bytes;
  a.y = bytes;
  a.y_stride = 64;
  CHECK(cuda::check(*plan, a).ok());
  const std::string planned = "the product was planned for 3 tokens, 64 channels of 64 columns and 8 bits, not ";
  CHECK(refusal(*plan, a, [](auto& o) { o.x.rows = 4; }) == planned + "4, 64 of 64 and 8");
  CHECK(refusal(*plan, a, [](auto& o) { o.w.channels = 32; }) == planned + "3, 32 of 64 and 8");
  CHECK(refusal(*plan, a, [](auto& o) { o.x.columns = 48; }) == planned + "3, 64 of 48 and 8");
  CHECK(refusal(*plan, a, [](auto& o) { o.w.columns = 48; }) == planned + "3, 64 of 48 and 8");
  CHECK(refusal(*plan, a, [](auto& o) { o.w.stored_bits = 4; }) == planned + "3, 64 of 64 and 4");
  CHECK(refusal(*plan, a, [](auto& o) { o.w.group_columns = 32; }) ==
        "the product was planned for groups of 0 columns (0: all of a channel), not of 32");
  const std::string aligned = "codes, their stride and weights must be multiples of 16 bytes";
  CHECK(refusal(*plan, a, [](auto& o) { o.x.stride = 72; }) == aligned);
  CHECK(refusal(*plan, a, [](auto& o) { o.x.codes += 8; }) == aligned);
  CHECK(refusal(*plan, a, [](auto& o) { o.w.units = bytes + 4; }) == aligned);
  a.x.columns = a.w.columns = 128;
  const std::string workspace = "the product needs a zeroed workspace of " + std::to_string(split->workspace_bytes) +
                                " bytes at a multiple of 16";
  CHECK(refusal(*split, a, [](auto&) {}) == workspace);
  CHECK(refusal(*split, a, [](auto& o) { o.workspace = bytes + 8; }) == workspace);
  CHECK(refusal(*split, a, [](auto& o) { o.workspace = bytes; }) == "");

  a.x.columns = a.w.columns = 64;
  CHECK(cuda::check(*pipeline, a).ok());
  CHECK(refusal(*pipeline, a, [](auto& o) { o.x.stride = 48; }) ==
        "the driver refuses to describe 3 rows of 64 bytes, 48 bytes apart, to the copy engine: the tokens");
}

TEST_CASE("weight-only products that no kernel takes") {
  CHECK(refusal(cuda::plan_weight_only({1, 64, 64, 4, 0, ElementType::half, ElementType::int32}, device)) ==
        "weight-only products give float32, bfloat16 or half, not int32");
  CHECK(refusal(cuda::plan_weight_only({1 << 24, 1 << 24, 64}, device)) ==
        "a product of 16777216 tokens and 16777216 channels is too large for one launch; take fewer tokens");
  for (const auto path : {WeightOnlyPath::stream8, WeightOnlyPath::tiles128, WeightOnlyPath::pipeline64}) {
    const auto most = cuda::plan_weight_only({1 << 24, 1 << 14, 64}, device, path, 1);
    REQUIRE(most.has_value());
    CHECK(most->launch.blocks > 0);
  }
  const WeightOnlyShape grouped{64, 64, 128, 4, 32};
  const auto planned = [&](WeightOnlyPath path) { return refusal(cuda::plan_weight_only(grouped, device, path, 1)); };
  CHECK(planned(WeightOnlyPath::stream64) ==
        "streamed weights, 64 tokens, mma.sync of 16 bits: takes one scale per channel, not groups of 32 columns");
  CHECK(planned(WeightOnlyPath::pipeline256) ==
        "pipelined tiles of 128 x 256, wgmma of 16 bits: takes one scale per channel, not groups of 32 columns");
  auto small = device;
  small.shared_bytes = 1024;
  const std::string needs = refusal(cuda::plan_weight_only({1, 64, 64}, small));
  CHECK(needs.starts_with("streamed weights, 8 tokens, mma.sync of 16 bits: needs "));
  CHECK(needs.ends_with(" bytes of shared memory, the device gives 1024"));
}

TEST_CASE("weights that no layout takes") {
  const std::vector<float> scales(4, 1.0f);
  std::vector<std::uint8_t> codes(64, 1);
  pl::CodesView view{.codes = codes.data(), .rows = 2, .columns = 32, .bits = 4, .group_size = 32};
  view.scales = scales.data();
  CHECK(cuda::FragmentWeights::make(view).has_value());
  CHECK(cuda::FloatWeights::make(view).has_value());
  const auto both = [&](const pl::CodesView& bad, const std::string& sentence) {
    CHECK(refusal(cuda::FragmentWeights::make(bad)) == sentence);
    CHECK(refusal(cuda::FloatWeights::make(bad)) == sentence);
  };
  auto other = view;
  other.bits = 9;
  both(other, "codes have 2 to 8 bits, not 9");
  other = view;
  other.rows = -2;
  both(other, "weights of -2 x 32 on a GPU");
  other.rows = index{1} << 31;
  both(other, "weights of 2147483648 x 32 on a GPU");
  other = view;
  other.columns = -32;
  both(other, "weights of 2 x -32 on a GPU");
  other.columns = other.group_size = index{1} << 20;  // refused before a code is read
  CHECK(refusal(cuda::FragmentWeights::make(other)) == "rows of 1048576 weights are too long for exact int32 sums");
  codes[40] = 8;  // of symmetric codes of 4 bits the largest is 7
  both(view, "a weight code or zero point does not fit 4 bits");
  codes[40] = 16;
  const std::vector<std::uint8_t> zeros{3, 16};
  other = view;
  other.symmetry = pl::Symmetry::asymmetric;
  other.zero_points = zeros.data();
  both(other, "a weight code or zero point does not fit 4 bits");
}

}  // namespace
