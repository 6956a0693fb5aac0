// The shipped kernels of integer products, run by the emulator, against the reference to the bit.
#include <doctest/doctest.h>

#include <planish/kernels/cuda/multiply_plan.cuh>
#include <planish/kernels/reference/multiply.hpp>

#include "../kernels/samples.hpp"
#include "emulator.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using pl::index;

struct Case {
  int rows, channels, columns, bits;
  pl::Symmetry weights, activations;
};

void check(const Case& c, cuda::MultiplyPath path, int splits, std::uint64_t seed) {
  INFO("rows ", c.rows, " channels ", c.channels, " columns ", c.columns, " bits ", c.bits, " splits ", splits, " ",
       cuda::multiply_path_name(path), " seed ", seed);
  pl::Random random(seed);
  const auto codes = samples::codes(c.channels, c.columns, c.bits, c.weights, 0, random);
  const auto panels = pl::PackedWeights::make(codes.view());
  const auto units = cuda::FragmentWeights::make(codes.view());
  REQUIRE(panels.has_value());
  REQUIRE(units.has_value());
  const auto x = samples::floats(index{c.rows} * c.columns, random);
  const samples::Rows rows({x.data(), c.rows, c.columns}, {.bits = 8, .symmetry = c.activations});
  const auto bias = samples::floats(c.channels, random), residual = samples::floats(index{c.rows} * c.channels, random);

  const index size = index{c.rows} * c.channels;
  std::vector<std::int32_t> expected_sums(static_cast<std::size_t>(size)), sums(static_cast<std::size_t>(size), -7);
  std::vector<float> expected(static_cast<std::size_t>(size)), y(static_cast<std::size_t>(size), -7.0f);
  const pl::Range all{0, pl::panel_count(c.channels)};
  pl::kernels::reference::multiply_accumulators(rows.view(), panels->view(), {expected_sums.data(), c.rows, c.channels},
                                                all, {});
  pl::Epilogue epilogue{bias.data(), {residual.data(), c.rows, c.channels}};
  pl::kernels::reference::multiply(rows.view(), panels->view(), epilogue, {expected.data(), c.rows, c.channels}, all,
                                   {});

  cuda::MultiplyShape shape{c.rows, c.channels, c.columns, units->view().stored_bits, cuda::ElementType::int32};
  auto plan = cuda::plan_multiply(shape, emulator::small_device, path, splits);
  REQUIRE(plan.has_value());
  std::vector<std::int32_t> workspace(static_cast<std::size_t>(plan->workspace_bytes / 4));
  cuda::MultiplyArguments a{rows.view(), units->view()};
  a.y = sums.data();
  a.y_stride = c.channels;
  a.workspace = workspace.data();
  CHECK(cuda::check(*plan, a).ok());
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
  CHECK(sums == expected_sums);

  plan->shape.output = cuda::ElementType::float32;
  a.bias = bias.data();
  a.residual = residual.data();
  a.residual_stride = c.channels;
  a.y = y.data();
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed + 1}).ok());
  CHECK(y == expected);
  a.residual = nullptr;
  pl::Epilogue plain{bias.data(), {}};
  pl::kernels::reference::multiply(rows.view(), panels->view(), plain, {expected.data(), c.rows, c.channels}, all, {});
  for (const auto type : {cuda::ElementType::bfloat16, cuda::ElementType::half}) {
    if (type == cuda::ElementType::half && c.rows > 100) continue;  // smaller products store them as well
    plan->shape.output = type;
    std::vector<std::uint16_t> y16(static_cast<std::size_t>(size), 7), expected16(y16.size());
    for (index i = 0; i < size; ++i)
      cuda::store_element(expected16.data(), type, i, expected[static_cast<std::size_t>(i)]);
    a.y = y16.data();
    CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed + 2}).ok());
    CHECK(y16 == expected16);
  }
  CHECK(std::count(workspace.begin(), workspace.end(), 0) == static_cast<std::ptrdiff_t>(workspace.size()));
  CHECK(emulator::faults() == 0);
}

constexpr auto symmetric = pl::Symmetry::symmetric, asymmetric = pl::Symmetry::asymmetric;

TEST_CASE("integer products of every path equal the reference to the bit") {
  std::uint64_t seed = 1;
  const cuda::MultiplyPath all[] = {cuda::MultiplyPath::stream8,     cuda::MultiplyPath::stream16,
                                    cuda::MultiplyPath::stream32,    cuda::MultiplyPath::tiles64,
                                    cuda::MultiplyPath::tiles128,    cuda::MultiplyPath::tiles256,
                                    cuda::MultiplyPath::pipeline16,  cuda::MultiplyPath::pipeline64,
                                    cuda::MultiplyPath::pipeline128, cuda::MultiplyPath::pipeline256};
  for (const auto path : all)
    for (const int bits : {4, 8}) {
      check({5, 72, 200, bits, symmetric, symmetric}, path, 1, seed++);
      check({37, 130, 576, bits, asymmetric, asymmetric}, path, 3, seed++);
    }
  // More steps than a ring has stages.
  for (const auto path : {cuda::MultiplyPath::tiles64, cuda::MultiplyPath::tiles128, cuda::MultiplyPath::tiles256})
    for (const int bits : {4, 8}) check({20, 72, 1100, bits, symmetric, asymmetric}, path, 1, seed++);
}

TEST_CASE("blocks that stay compute every tile") {
  std::uint64_t seed = 200;
  for (const auto path : {cuda::MultiplyPath::pipeline16, cuda::MultiplyPath::pipeline64,
                          cuda::MultiplyPath::pipeline128, cuda::MultiplyPath::pipeline256})
    for (const int bits : {4, 8}) check({290, 712, 392, bits, symmetric, symmetric}, path, 1, seed++);
}

/// Weights with a scale per group of columns, in the order of docs/numbers.md.
void check_groups(const Case& c, int group, cuda::ElementType output, cuda::MultiplyPath path, std::uint64_t seed) {
  INFO("rows ", c.rows, " channels ", c.channels, " columns ", c.columns, " bits ", c.bits, " group ", group, " ",
       cuda::multiply_path_name(path), " seed ", seed);
  pl::Random random(seed);
  const auto codes = samples::codes(c.channels, c.columns, c.bits, c.weights, group, random);
  const auto panels = pl::PackedWeights::make(codes.view());
  const auto units = cuda::FragmentWeights::make(codes.view());
  REQUIRE(panels.has_value());
  REQUIRE(units.has_value());
  const auto x = samples::floats(index{c.rows} * c.columns, random);
  const samples::Rows rows({x.data(), c.rows, c.columns}, {.bits = 8, .symmetry = c.activations});
  const auto bias = samples::floats(c.channels, random), residual = samples::floats(index{c.rows} * c.channels, random);
  const auto size = static_cast<std::size_t>(index{c.rows} * c.channels);
  std::vector<float> expected(size);
  const bool sixteen = output != cuda::ElementType::float32;
  const pl::Epilogue epilogue{bias.data(), {sixteen ? nullptr : residual.data(), c.rows, c.channels}};
  pl::kernels::reference::multiply(rows.view(), panels->view(), epilogue, {expected.data(), c.rows, c.channels},
                                   {0, pl::panel_count(c.channels)}, {});
  std::vector<std::uint32_t> y(size + 1, 0x7fc0dead), rounded(size + 1, 0x7fc0dead);
  for (std::size_t i = 0; i < size; ++i)
    cuda::store_element(rounded.data(), output, static_cast<index>(i), expected[i]);

  cuda::MultiplyShape shape{c.rows, c.channels, c.columns, units->view().stored_bits, output, group};
  const auto plan = cuda::plan_multiply(shape, emulator::small_device, path, 1);
  REQUIRE(plan.has_value());
  CHECK(plan->workspace_bytes == 0);
  cuda::MultiplyArguments a{rows.view(), units->view()};
  a.bias = bias.data();
  a.residual = sixteen ? nullptr : residual.data();
  a.residual_stride = c.channels;
  a.y = y.data();
  a.y_stride = c.channels;
  CHECK(cuda::check(*plan, a).ok());
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
  CHECK(y == rounded);
  CHECK(emulator::faults() == 0);
}

TEST_CASE("integer products with group scales equal the reference to the bit") {
  std::uint64_t seed = 50;
  constexpr auto wide = cuda::ElementType::float32, half = cuda::ElementType::half;
  for (const auto path : {cuda::MultiplyPath::grouped8, cuda::MultiplyPath::grouped32, cuda::MultiplyPath::grouped128})
    for (const int bits : {3, 4, 8}) {
      check_groups({5, 72, 200, bits, symmetric, symmetric}, 32, wide, path, seed++);
      check_groups({37, 130, 576, bits, asymmetric, asymmetric}, 128, wide, path, seed++);
      check_groups({19, 66, 1000, bits, symmetric, asymmetric}, 96, half, path, seed++);
      check_groups({9, 131, 416, bits, asymmetric, symmetric}, 64, half, path, seed++);
    }
  cuda::DeviceCapabilities hopper{9, 0, 132, 227 * 1024, true}, ada{8, 9, 128, 99 * 1024, false};
  const auto plan = [](const cuda::MultiplyShape& shape, const cuda::DeviceCapabilities& device) {
    return cuda::plan_multiply(shape, device);
  };
  for (const int bits : {4, 8})
    for (const int rows : {1, 16, 4096}) {
      const auto made = plan({rows, 4096, 4096, bits, half, 128}, ada);
      REQUIRE(made.has_value());
      CHECK(made->launch.shared_bytes <= ada.shared_bytes);
    }
  CHECK(plan({4096, 4096, 4096, 4, half, 128}, hopper)->path == cuda::MultiplyPath::grouped128);
  CHECK(plan({1, 64, 64, 4, half, 48}, ada).status().message() ==
        "integer products on a GPU take groups of a multiple of 32 columns, not of 48");
  CHECK(plan({1, 64, 64, 4, cuda::ElementType::int32, 32}, ada).status().message() ==
        "accumulators as outputs: only of weights with one scale per channel");
  CHECK_FALSE(cuda::plan_multiply({1, 64, 64, 4, half, 32}, hopper, cuda::MultiplyPath::tiles64, 1).has_value());
  pl::Random random(7);
  const auto codes = samples::codes(8, 96, 4, symmetric, 48, random);
  CHECK(cuda::FragmentWeights::make(codes.view()).status().message() ==
        "integer products on a GPU take groups of a multiple of 32 columns, not of 48");
}

TEST_CASE("plans take the path that a device has") {
  cuda::DeviceCapabilities hopper{9, 0, 132, 227 * 1024, true, &emulator::any_driver}, ada{8, 9, 128, 99 * 1024, false},
      turing{7, 5, 40, 64 * 1024, false};
  const auto path = [](const cuda::DeviceCapabilities& device, int rows) {
    auto plan = cuda::plan_multiply({rows, 4096, 14336, 4}, device);
    REQUIRE(plan.has_value());
    CHECK(plan->launch.shared_bytes <= device.shared_bytes);
    return plan->path;
  };
  CHECK(path(hopper, 1) == cuda::MultiplyPath::stream8);
  CHECK(path(hopper, 9) == cuda::MultiplyPath::pipeline16);
  cuda::MultiplyShape decode{1, 14336, 4096, 4};
  decode.early = true;
  CHECK(cuda::plan_multiply(decode, hopper)->path == cuda::MultiplyPath::stream8);
  CHECK(cuda::plan_multiply(decode, hopper)->launch.early);
  CHECK(cuda::plan_multiply(decode, ada)->path == cuda::MultiplyPath::stream8);
  CHECK_FALSE(cuda::plan_multiply(decode, ada)->launch.early);
  CHECK(cuda::plan_multiply({16, 4096, 14336, 8}, hopper)->splits == 2);
  CHECK(cuda::plan_multiply({16, 14336, 4096, 8}, hopper)->path == cuda::MultiplyPath::pipeline16);
  CHECK(path(hopper, 33) == cuda::MultiplyPath::pipeline64);
  CHECK(path(hopper, 65) == cuda::MultiplyPath::pipeline64);  // in pairs, which fill the device
  CHECK(cuda::plan_multiply({65, 4096, 14336, 8}, hopper)->path == cuda::MultiplyPath::pipeline128);
  CHECK(path(hopper, 512) == cuda::MultiplyPath::pipeline128);  // 128 tiles, one per multiprocessor
  CHECK(path(hopper, 8192) == cuda::MultiplyPath::pipeline256);
  hopper.encode_rows = nullptr;  // an old driver
  CHECK(path(hopper, 33) == cuda::MultiplyPath::tiles64);
  CHECK(path(hopper, 8192) == cuda::MultiplyPath::tiles256);
  hopper.encode_rows = &emulator::any_driver;
  hopper.group_products = false;  // compiled for plain sm_90
  CHECK(path(hopper, 8192) == cuda::MultiplyPath::tiles256);
  CHECK(path(ada, 16) == cuda::MultiplyPath::stream16);
  CHECK(path(ada, 65) == cuda::MultiplyPath::tiles64);
  CHECK(path(ada, 8192) == cuda::MultiplyPath::tiles128);
  CHECK(cuda::plan_multiply({1, 64, 64}, turing).status().message() ==
        "integer products need compute capability 8.0, this device has 7.5");
  CHECK_FALSE(cuda::plan_multiply({1, 64, 140000}, ada).has_value());
  CHECK_FALSE(cuda::plan_multiply({1, 64, 64, 5}, ada).has_value());
}

}  // namespace
