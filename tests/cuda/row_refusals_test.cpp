// What the plans of row kernels (quantize, Kronecker) do not take, and the sentence that says so.
#include <cstdint>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <planish/kernels/cuda/kronecker_plan.cuh>
#include <planish/kernels/cuda/quantize_rows.cuh>

#include "emulator.hpp"
#include "refusals.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using cuda::CodeForm, cuda::ElementType, cuda::KroneckerShape, cuda::Prologue;
using refusals::refusal, refusals::turing;
constexpr const auto& device = emulator::small_device;

alignas(16) std::uint16_t rows[512] = {};
alignas(16) std::int8_t codes[512] = {};

TEST_CASE("rows that become codes") {
  CHECK(refusal(cuda::plan_quantize({-1, 64}, device)) == "rows to quantize: -1 x 64");
  CHECK(refusal(cuda::plan_quantize({1, -64}, device)) == "rows to quantize: 1 x -64");
  CHECK(refusal(cuda::plan_quantize({1, (1 << 26) + 1}, device)) == "rows to quantize: 1 x 67108865");
  CHECK(refusal(cuda::plan_quantize({1, 64, ElementType::int32}, device)) == "int32 is not quantized");

  const auto plan = cuda::plan_quantize({2, 64}, device);
  const auto nibbles = cuda::plan_quantize({2, 64, ElementType::half, CodeForm::nibbles}, device);
  REQUIRE(plan.has_value());
  REQUIRE(nibbles.has_value());
  CHECK(std::string(plan->describe()) == "a block per row, read once");
  CHECK(std::string(cuda::plan_quantize({2, 65}, device)->describe()) == "a block per row, read twice");
  cuda::QuantizeArguments a;
  a.x = rows;
  a.row_stride = 64;
  a.out = {codes, 2, 64, 64, nullptr, nullptr, nullptr};
  CHECK(cuda::check(*plan, a).ok());
  CHECK(refusal(*plan, a, [](auto& o) { o.out.rows = 3; }) == "the quantization was planned for 2 x 64, not 3 x 64");
  CHECK(refusal(*plan, a, [](auto& o) { o.out.columns = 48; }) ==
        "the quantization was planned for 2 x 64, not 2 x 48");
  CHECK(refusal(*plan, a, [](auto& o) { o.quantizer.bits = 9; }) == "codes have 2 to 8 bits, and 4 as nibbles, not 9");
  CHECK(refusal(*nibbles, a, [](auto& o) { o.quantizer.bits = 8; }) ==
        "codes have 2 to 8 bits, and 4 as nibbles, not 8");
  for (const float scale : {-1.0f, 1e-40f, std::numeric_limits<float>::infinity()})
    CHECK(refusal(*plan, a, [&](auto& o) { o.quantizer.static_scale = scale; }) ==
          "a static scale must be a normal positive number");
  CHECK(refusal(*plan, a, [](auto& o) { o.quantizer.clip.positive = 17.0f; }) == "a clip pair is out of range");
  CHECK(refusal(*plan, a, [](auto& o) { o.out.stride = 48; }) == "rows of 64 bytes of codes do not lie 48 bytes apart");
  CHECK(refusal(*plan, a, [](auto& o) { o.out.stride = 72; }) == "rows of 64 bytes of codes do not lie 72 bytes apart");
  CHECK(refusal(*nibbles, a, [](auto& o) {
          o.quantizer.bits = 4;
          o.out.stride = 28;
        }) == "rows of 32 bytes of codes do not lie 28 bytes apart");
  const std::string aligned = "the quantization was planned for rows on multiples of 16 bytes";
  CHECK(refusal(*plan, a, [](auto& o) { o.x = rows + 1; }) == aligned);
  CHECK(refusal(*plan, a, [](auto& o) { o.row_stride = 65; }) == aligned);
  CHECK(refusal(*plan, a, [](auto& o) { o.out.codes = codes + 8; }) == "codes must lie on a multiple of 16 bytes");
}

TEST_CASE("factors of matrix units") {
  const auto made = [](int n1, int n2, ElementType type) {
    return refusal(cuda::KroneckerFactors::make(n1, n2, nullptr, nullptr, type));
  };
  CHECK(made(257, 2, ElementType::half) ==
        "Kronecker factors of 257 and 2: matrix units take up to 256 each and 32768 together");
  CHECK(made(0, 2, ElementType::half) ==
        "Kronecker factors of 0 and 2: matrix units take up to 256 each and 32768 together");
  CHECK(made(200, 200, ElementType::half) ==
        "Kronecker factors of 200 and 200: matrix units take up to 256 each and 32768 together");
  CHECK(made(2, 2, ElementType::float32) == "factors for matrix units are bfloat16 or half, not float32");
  CHECK(made(2, 2, ElementType::int32) == "factors for matrix units are bfloat16 or half, not int32");
  const float large[] = {1.0f, 0.0f, 0.0f, 70000.0f};  // infinity in half
  CHECK(refusal(cuda::KroneckerFactors::make(2, 2, nullptr, large, ElementType::half)) ==
        "a Kronecker factor is not finite");
}

TEST_CASE("Kronecker transforms that no kernel takes") {
  const auto refused = [](const KroneckerShape& shape, const cuda::DeviceCapabilities& on) {
    return refusal(cuda::plan_kronecker(shape, on));
  };
  const auto brain = ElementType::bfloat16, single = ElementType::float32;
  CHECK(refused({-1, 8, 8}, device) == "a Kronecker transform of -1 rows");
  const std::string most = std::to_string(cuda::exact_most);
  CHECK(refused({1, 0, 8}, device) == "a Kronecker transform of 0 x 8: a row has 1 to " + most + " elements");
  CHECK(refused({1, 8, -8}, device) == "a Kronecker transform of 8 x -8: a row has 1 to " + most + " elements");
  CHECK(refused({1, 512, 512}, device) == "a Kronecker transform of 512 x 512: a row has 1 to " + most + " elements");
  auto small = device;
  small.shared_bytes = 4096;
  const auto exact = cuda::plan_kronecker({1, 64, 64, brain, single}, device);
  REQUIRE(exact.has_value());
  CHECK(refused({1, 64, 64, brain, single}, small) == "a Kronecker transform of 64 x 64 needs " +
                                                          std::to_string(exact->launch.shared_bytes) +
                                                          " bytes of shared memory, the device gives 4096");
  const std::string units = "matrix units of 16-bit floats need compute capability 8.0 and factors of bfloat16 or half";
  CHECK(refused({1, 8, 8}, turing) == units);
  CHECK(refused({1, 8, 8, brain, ElementType::int32}, device) == units);
  const std::string none = " has no kernel on matrix units; plan it with float32 arithmetic";
  CHECK(refused({1, 257, 100}, device) == "a Kronecker transform of 257 x 100" + none);
  CHECK(refused({1, 100, 257}, device) == "a Kronecker transform of 100 x 257" + none);
  CHECK(refused({1, 170, 160}, device) == "a Kronecker transform of 170 x 160" + none);
  const std::string needs = refused({1, 64, 64}, small);
  CHECK(needs.starts_with("a Kronecker transform of 64 x 64 needs "));
  CHECK(needs.ends_with(" bytes of shared memory, the device gives 4096; plan it with float32 arithmetic"));
}

TEST_CASE("Kronecker plans say how they run") {
  const auto description = [](const KroneckerShape& shape) {
    const auto plan = cuda::plan_kronecker(shape, device);
    REQUIRE(plan.has_value());
    return std::string(plan->describe());
  };
  const auto brain = ElementType::bfloat16, single = ElementType::float32;
  CHECK(description({1, 64, 64, brain, single}) == "float32, sums in the order of the reference");
  CHECK(description({1, 64, 64}) == "wgmma of 16-bit floats, rows fetched in the background");
  CHECK(description({1, 8, 8}) == "mma.sync of 16-bit floats, rows fetched in the background");
  CHECK(description({1, 8, 8, single}) == "mma.sync of 16-bit floats, rows converted on the way");
}

TEST_CASE("arguments of another transform than the planned one") {
  const auto brain = ElementType::bfloat16, single = ElementType::float32;
  const auto plan = cuda::plan_kronecker({2, 8, 8, brain, brain, CodeForm::nibbles}, device),
             exact = cuda::plan_kronecker({2, 8, 8, brain, single}, device);
  REQUIRE(plan.has_value());
  REQUIRE(exact.has_value());
  cuda::KroneckerArguments a;
  a.x = rows;
  a.row_stride = 64;
  a.factors.n1 = a.factors.n2 = 8;
  a.quantizer.bits = 4;
  a.out = {codes, 2, 64, 32, nullptr, nullptr, nullptr};
  CHECK(cuda::check(*plan, a).ok());
  CHECK(refusal(*plan, a, [](auto& o) { o.factors.n2 = 16; }) == "the transform was planned for 8 x 8, not 8 x 16");
  CHECK(refusal(*plan, a, [](auto& o) { o.factors.type = ElementType::half; }) ==
        "the transform was planned for factors of bfloat16");
  CHECK(refusal(*exact, a, [](auto&) {}) == "the transform was planned for factors of float32");
  const std::string aligned = "rows to fetch in the background must begin on multiples of 16 bytes";
  CHECK(refusal(*plan, a, [](auto& o) { o.x = rows + 1; }) == aligned);
  CHECK(refusal(*plan, a, [](auto& o) { o.row_stride = 66; }) == aligned);
  CHECK(refusal(*plan, a, [](auto& o) { o.out.stride = 36; }) ==
        "rows of nibbles must lie a multiple of 8 bytes apart, not 36");
  CHECK(refusal(*plan, a, [](auto& o) { o.factors.panels = rows + 1; }) ==
        "panels of factors must lie on a multiple of 16 bytes");
  CHECK(refusal(*plan, a, [](auto& o) { o.out.rows = 1; }) == "the quantization was planned for 2 x 64, not 1 x 64");

  cuda::ExactArguments e;
  e.x = rows;
  e.row_stride = 64;
  e.factors = {8, 8, nullptr, nullptr};
  e.out = {codes, 2, 64, 64, nullptr, nullptr, nullptr};
  CHECK(cuda::check(*exact, e).ok());
  CHECK(refusal(*plan, e, [](auto&) {}) == "the transform was planned for factors of bfloat16");
  CHECK(refusal(*exact, e, [](auto& o) { o.factors.n1 = 4; }) == "the transform was planned for 8 x 8, not 4 x 8");
}

TEST_CASE("rows that the driver does not describe to the copy engine") {
  KroneckerShape shape{2, 64, 64};
  shape.prologue = Prologue::swiglu;
  const auto plan = cuda::plan_kronecker(shape, device);
  REQUIRE(plan.has_value());
  REQUIRE(plan->group_path != cuda::KroneckerGroupPath::none);
  cuda::KroneckerArguments a;
  a.x = a.prologue.up = a.y = rows;  // described, never read
  a.row_stride = a.prologue.up_stride = 4096;
  a.factors.n1 = a.factors.n2 = 64;
  CHECK(cuda::check(*plan, a).ok());
  CHECK(refusal(*plan, a, [](auto& o) { o.row_stride = 0; }) ==
        "the driver refuses to describe 2 rows of 64 x 64 that lie 0 elements apart");
  CHECK(refusal(*plan, a, [](auto& o) { o.prologue.up_stride = -64; }) ==
        "the driver refuses to describe 2 rows of 64 x 64 that lie -64 elements apart");
}

}  // namespace
