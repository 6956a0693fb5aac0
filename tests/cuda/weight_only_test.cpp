// The shipped kernels of weight-only products, run by the emulator: to the bit where every sum is exact, within the
// bound of docs/cuda.md elsewhere, and the same bits in whatever order blocks and threads have their turns.
#include <doctest/doctest.h>

#include <planish/kernels/cuda/weight_only_plan.cuh>
#include <planish/kernels/reference/multiply_weight_only.hpp>

#include "../kernels/samples.hpp"
#include "emulator.hpp"
#include "float_oracles.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using cuda::ElementType;
using pl::index;
using Path = cuda::WeightOnlyPath;

constexpr auto symmetric = pl::Symmetry::symmetric, asymmetric = pl::Symmetry::asymmetric;

struct Case {
  int rows, channels, columns, bits, group;
  pl::Symmetry symmetry;
  ElementType input, output;
};

/// One product and what it needs.
struct Product {
  Case c;
  pl::Codes codes;
  cuda::FloatWeights weights;
  oracles::Matrix x, residual;
  std::vector<float> bias;

  Product(const Case& of, bool exact, pl::Random& random)
      : c(of),
        codes(samples::codes(c.channels, c.columns, c.bits, c.symmetry, c.group, random)),
        x(c.rows + 1, c.columns, (c.columns + 7) / 8 * 8 + 8, c.input,
          exact ? oracles::small_integers(index{c.rows + 1} * c.columns, random)
                : samples::floats(index{c.rows + 1} * c.columns, random)),
        residual(c.rows, c.channels, c.channels + 3, c.output,
                 oracles::small_integers(index{c.rows} * c.channels, random)),
        bias(oracles::small_integers(c.channels, random)) {
    if (exact) oracles::make_powers_of_two(codes, random);
    for (index k = 0; k < c.columns; ++k)  // a row behind the last, which nobody may look at
      cuda::store_element(x.words.data(), c.input, c.rows * x.stride + k, std::numeric_limits<float>::quiet_NaN());
    auto made = cuda::FloatWeights::make(codes.view());
    REQUIRE(made.has_value());
    weights = *std::move(made);
  }

  /// What is added to the sums. Outputs without residual lie where the copy engine may write them.
  enum class Added { nothing, bias, all };

  oracles::Matrix run(const cuda::WeightOnlyPlan& plan, Added added, std::uint64_t seed) const {
    oracles::Matrix y(c.rows, c.channels, added == Added::all ? c.channels + 5 : (c.channels + 7) / 8 * 8 + 8,
                      c.output);
    std::vector<std::int32_t> workspace(static_cast<std::size_t>(plan.workspace_bytes / 4));
    cuda::WeightOnlyArguments a;
    std::vector<std::uint16_t> copy(x.words.size() + 8);  // from an address that is a multiple of 16 bytes
    const auto misplaced = reinterpret_cast<std::uintptr_t>(copy.data()) % 16 / 2;
    std::uint16_t* const tokens = copy.data() + (8 - misplaced) % 8;
    std::copy(x.words.begin(), x.words.end(), tokens);
    a.x = tokens;
    a.x_stride = x.stride;
    a.rows = c.rows;
    a.w = weights.view();
    a.y = y.words.data();
    a.y_stride = y.stride;
    a.workspace = workspace.data();
    if (added != Added::nothing) a.bias = bias.data();
    if (added == Added::all) {
      a.residual = residual.words.data();
      a.residual_stride = residual.stride;
    }
    CHECK(cuda::check(plan, a).ok());
    CHECK(cuda::dispatch(plan, a, emulator::Launcher{seed}).ok());
    CHECK(std::count(workspace.begin(), workspace.end(), 0) == static_cast<std::ptrdiff_t>(workspace.size()));
    CHECK(y.gaps_are_untouched());
    CHECK(emulator::faults() == 0);
    return y;
  }
};

cuda::WeightOnlyPlan plan_of(const Product& p, Path path, int splits) {
  auto plan = cuda::plan_weight_only(
      {p.c.rows, p.c.channels, p.c.columns, p.weights.view().stored_bits, p.c.group, p.c.input, p.c.output},
      emulator::small_device, path, splits);
  REQUIRE(plan.has_value());
  return *plan;
}

using Added = Product::Added;

void check_exact(const Case& c, Path path, int splits, std::uint64_t seed, Added added = Added::all) {
  INFO("rows ", c.rows, " channels ", c.channels, " columns ", c.columns, " bits ", c.bits, " group ", c.group,
       " splits ", splits, " ", cuda::weight_only_path_name(path), " seed ", seed);
  pl::Random random(seed);
  const Product p(c, true, random);
  const auto y = p.run(plan_of(p, path, splits), added, seed);
  const auto panels = pl::PackedWeights::make(p.codes.view());
  REQUIRE(panels.has_value());
  std::vector<float> expected(static_cast<std::size_t>(index{c.rows} * c.channels));
  pl::Epilogue epilogue{p.bias.data(), {}};
  if (added == Added::all) epilogue.residual = {p.residual.values.data(), c.rows, c.channels};
  pl::kernels::reference::multiply_weight_only({p.x.values.data(), c.rows, c.columns}, panels->view(), epilogue,
                                               {expected.data(), c.rows, c.channels}, {0, pl::panel_count(c.channels)},
                                               {});
  const oracles::Matrix rounded(c.rows, c.channels, c.channels, c.output, expected);
  index wrong = 0;
  for (index m = 0; m < c.rows; ++m)
    for (index n = 0; n < c.channels; ++n) wrong += !(y(m, n) == rounded(m, n));
  CHECK(wrong == 0);
}

void check_bound(const Case& c, Path path, int splits, std::uint64_t seed) {
  INFO("rows ", c.rows, " channels ", c.channels, " columns ", c.columns, " bits ", c.bits, " group ", c.group,
       " splits ", splits, " ", cuda::weight_only_path_name(path), " seed ", seed);
  pl::Random random(seed);
  const Product p(c, false, random);
  const auto plan = plan_of(p, path, splits);
  const auto y = p.run(plan, Added::nothing, seed), again = p.run(plan, Added::nothing, seed + 77);
  CHECK(y.words == again.words);
  index wrong = 0;
  for (index m = 0; m < c.rows; ++m)
    for (index n = 0; n < c.channels; ++n) {
      const auto exact = oracles::exact_output(p.x, p.codes.view(), m, n);
      wrong += !(std::abs(double{y(m, n)} - exact.value) <= oracles::allowed_error(exact, c.columns));
    }
  CHECK(wrong == 0);
}

constexpr Path all_paths[] = {Path::stream8,    Path::stream16,    Path::stream32,   Path::stream64,
                              Path::alone8,     Path::alone16,     Path::tiles64,    Path::tiles128,
                              Path::pipeline64, Path::pipeline128, Path::pipeline256};

TEST_CASE("weight-only products of every path equal the reference to the bit where sums are exact") {
  std::uint64_t seed = 1;
  constexpr auto brain = ElementType::bfloat16, half = ElementType::half, wide = ElementType::float32;
  for (const auto path : all_paths) {
    const int three = 3;
    for (const int bits : {2, 3, 4, 8}) {
      check_exact({5, 72, 200, bits, 0, symmetric, brain, wide}, path, 1, seed++);
      check_exact({37, 130, 333, bits, 0, asymmetric, half, wide}, path, 2, seed++);
      if (path == Path::stream64 || path == Path::pipeline256) continue;  // take no groups
      check_exact({9, 66, 300, bits, 32, asymmetric, brain, half}, path, 1, seed++);
      check_exact({19, 130, 576, bits, 128, symmetric, half, brain}, path, three, seed++);
      check_exact({6, 64, 416, bits, 96, asymmetric, half, wide}, path, 2, seed++);
      check_exact({70, 300, 136, bits, 128, asymmetric, brain, half}, path, 1, seed++);  // half a unit has no columns
    }
  }
}

TEST_CASE("outputs that the copy engine stores are the same") {
  std::uint64_t seed = 200;
  constexpr auto brain = ElementType::bfloat16, half = ElementType::half;
  for (const auto path : all_paths) {
    if (!cuda::is_pipelined(path)) continue;
    check_exact({150, 200, 200, 4, 0, asymmetric, brain, half}, path, 1, seed++, Added::bias);
    check_exact({300, 1300, 72, 8, 0, symmetric, half, brain}, path, 1, seed++, Added::bias);  // blocks walk
    check_exact({37, 136, 576, 2, 0, symmetric, brain, brain}, path, 3, seed++, Added::bias);
    check_exact({9, 66, 300, 4, 0, symmetric, half, half}, path, 1, seed++,
                Added::bias);  // by threads: no whole pieces
    if (path == Path::pipeline256) continue;
    check_exact({150, 200, 700, 4, 192, symmetric, half, brain}, path, 1, seed++, Added::bias);
  }
}

TEST_CASE("weight-only products as they are planned, splits included, are exact as well") {
  std::uint64_t seed = 300;
  for (const int group : {0, 128})
    for (const int rows : {1, 8, 16, 30, 64, 130}) {
      const Case c{rows, 200, 2100, 4, group, asymmetric, ElementType::bfloat16, ElementType::bfloat16};
      const auto plan = cuda::plan_weight_only({c.rows, c.channels, c.columns, 4, c.group}, emulator::small_device);
      REQUIRE(plan.has_value());
      CHECK((plan->splits > 1 || rows <= 64));  // streams rather leave some multiprocessors idle
      check_exact(c, plan->path, plan->splits, seed++);
    }
}

TEST_CASE("weight-only products stay within their bound and give the same bits in any order") {
  std::uint64_t seed = 100;
  for (const auto path : all_paths)
    for (const int group : {0, 64}) {
      if (group != 0 && (path == Path::stream64 || path == Path::pipeline256)) continue;
      const int three = 3;
      check_bound({7, 80, 1000, 4, group, asymmetric, ElementType::bfloat16, ElementType::float32}, path, three,
                  seed++);
      check_bound({18, 70, 520, 8, group, symmetric, ElementType::half, ElementType::float32}, path, 1, seed++);
    }
}

TEST_CASE("a token that holds infinity or NaN spoils its own outputs only") {
  pl::Random random(3);
  Product p({10, 70, 130, 4, 32, asymmetric, ElementType::bfloat16, ElementType::float32}, true, random);
  constexpr Path paths[] = {Path::stream16, Path::tiles64, Path::pipeline64};
  std::vector<oracles::Matrix> clean;
  for (const auto path : paths) clean.push_back(p.run(plan_of(p, path, 1), Added::nothing, 1));
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()};
  for (std::size_t i = 0; i < 3; ++i) {
    cuda::store_element(p.x.words.data(), p.c.input, 4 * p.x.stride + 129, bad[i % 2]);
    const auto y = p.run(plan_of(p, paths[i], 1), Added::nothing, 2);
    for (index m = 0; m < 10; ++m)
      for (index n = 0; n < 70; ++n) CHECK((m == 4 ? !std::isfinite(y(m, n)) : y(m, n) == clean[i](m, n)));
  }
}

/// Every (channel, column) of a unit has bits of its own, and no bit is left over.
template <int Bits>
constexpr bool float_unit_is_a_bijection() {
  bool taken[cuda::float_unit_bytes(Bits) * 8 / Bits] = {};
  for (int channel = 0; channel < cuda::unit_channels; ++channel)
    for (int column = 0; column < cuda::float_unit_columns; ++column) {
      const cuda::UnitPosition at = cuda::float_unit_position(Bits, channel, column);
      if (at.byte < 0 || at.byte >= cuda::float_unit_bytes(Bits) || at.shift % Bits != 0 || at.shift > 8 - Bits)
        return false;
      bool& place = taken[at.byte * 8 / Bits + at.shift / Bits];
      if (place) return false;
      place = true;
    }
  return true;
}
static_assert(float_unit_is_a_bijection<2>() && float_unit_is_a_bijection<4>() && float_unit_is_a_bijection<8>());

template <class E, int Bits, int At>
index wrong_pairs() {
  constexpr std::uint32_t codes = 1u << Bits, field = (codes - 1u) * 0x10001u << At;
  index wrong = 0;
  for (std::uint32_t low = 0; low < codes; ++low)
    for (std::uint32_t high = 0; high < codes; ++high)
      for (std::uint32_t zero = 0; zero < codes; ++zero) {
        const std::uint32_t word = (0xdeadbeefu & ~field) | low << At | high << (At + 16);
        const std::uint32_t pair = cuda::expand_pair<E, Bits, At>(word, zero * 0x10001u);
        const auto value = [&](int h) { return E{static_cast<std::uint16_t>(pair >> (16 * h))}.to_float(); };
        wrong += value(0) != static_cast<float>(static_cast<int>(low) - static_cast<int>(zero));
        wrong += value(1) != static_cast<float>(static_cast<int>(high) - static_cast<int>(zero));
      }
  return wrong;
}

template <class E, int First>
index wrong_bytes() {
  index wrong = 0;
  for (std::uint32_t code = 0; code < 256; ++code)
    for (std::uint32_t zero = 0; zero < 256; ++zero) {
      const std::uint32_t other = (code * 7 + zero) % 256;
      const std::uint32_t word =
          (0xdeadbeefu & ~(0x00ff00ffu << (8 * First))) | code << (8 * First) | other << (8 * First + 16);
      const std::uint32_t pair = cuda::expand_bytes<E, First>(word, zero * 0x10001u);
      const auto value = [&](int h) { return E{static_cast<std::uint16_t>(pair >> (16 * h))}.to_float(); };
      wrong += value(0) != static_cast<float>(static_cast<int>(code) - static_cast<int>(zero));
      wrong += value(1) != static_cast<float>(static_cast<int>(other) - static_cast<int>(zero));
    }
  return wrong;
}

template <class E>
void check_expansions() {
  CHECK(wrong_pairs<E, 4, 0>() + wrong_pairs<E, 4, 4>() + wrong_pairs<E, 4, 8>() + wrong_pairs<E, 4, 12>() == 0);
  CHECK(wrong_pairs<E, 2, 0>() + wrong_pairs<E, 2, 2>() + wrong_pairs<E, 2, 4>() + wrong_pairs<E, 2, 6>() == 0);
  CHECK(wrong_pairs<E, 2, 8>() + wrong_pairs<E, 2, 10>() + wrong_pairs<E, 2, 12>() + wrong_pairs<E, 2, 14>() == 0);
  CHECK(wrong_bytes<E, 0>() + wrong_bytes<E, 1>() == 0);
}
TEST_CASE("every code less every zero point is exact in 16 bits") {
  check_expansions<pl::BFloat16>();
  check_expansions<pl::Half>();
}

TEST_CASE("plans of weight-only products take the path that a device has") {
  cuda::DeviceCapabilities hopper{9, 0, 132, 227 * 1024, true, &emulator::any_driver}, ada{8, 9, 128, 99 * 1024, false},
      turing{7, 5, 40, 64 * 1024, false};
  const auto path = [](const cuda::DeviceCapabilities& device, int rows, int bits, int group) {
    auto plan = cuda::plan_weight_only({rows, 8192, 8192, bits, group}, device);
    REQUIRE(plan.has_value());
    CHECK(plan->launch.shared_bytes <= device.shared_bytes);
    return plan->path;
  };
  for (const int bits : {2, 4, 8}) {
    CHECK(path(hopper, 1, bits, 128) == (bits == 4 ? Path::alone8 : Path::stream8));
    CHECK(path(hopper, 16, bits, 0) == (bits == 4 ? Path::alone16 : Path::stream16));
    for (const int group : {0, 128}) CHECK(path(hopper, 64, bits, group) == Path::pipeline64);
    CHECK(path(hopper, 128, bits, 0) == Path::pipeline128);
    CHECK(path(hopper, 8192, bits, 0) == Path::pipeline256);
    CHECK(path(hopper, 8192, bits, 128) == Path::pipeline128);
    for (const int rows : {1, 9, 17, 33, 65, 8192}) CHECK(path(ada, rows, bits, 64) < Path::pipeline64);
  }
  const auto message = [](const cuda::WeightOnlyShape& shape, const cuda::DeviceCapabilities& device) {
    const auto plan = cuda::plan_weight_only(shape, device);
    CHECK_FALSE(plan.has_value());
    return std::string(plan.status().message());
  };
  // Two blocks of streams meet on a multiprocessor here.
  CHECK(cuda::plan_weight_only({16, 14336, 4096}, hopper)->path == Path::stream16);
  const auto planned = [&](int rows, int channels, int columns, int group) {
    const auto plan = cuda::plan_weight_only({rows, channels, columns, 4, group}, hopper);
    REQUIRE(plan.has_value());
    return std::pair(plan->path, plan->splits);
  };
  CHECK(planned(128, 8192, 8192, 0) == std::pair(Path::pipeline128, 2));
  CHECK(planned(128, 4096, 14336, 128) == std::pair(Path::pipeline128, 3));
  CHECK(planned(512, 4096, 14336, 0) == std::pair(Path::pipeline256, 2));
  CHECK(planned(512, 4096, 14336, 128) == std::pair(Path::pipeline128, 1));
  cuda::WeightOnlyShape early{1, 14336, 4096};
  early.early = true;
  CHECK(cuda::plan_weight_only(early, hopper)->launch.early);
  CHECK_FALSE(cuda::plan_weight_only(early, ada)->launch.early);  // has no such launches
  CHECK_FALSE(cuda::plan_weight_only({1, 14336, 4096}, hopper)->launch.early);
  early.channels = 8192;
  CHECK_FALSE(cuda::plan_weight_only(early, hopper)->launch.early);  // one block on a multiprocessor
  early.rows = 128;
  CHECK(cuda::plan_weight_only(early, hopper)->launch.early);
  auto old_driver = hopper;
  old_driver.encode_rows = nullptr;
  for (const int rows : {64, 8192}) CHECK(path(old_driver, rows, 4, 0) < Path::pipeline64);
  const auto refused = [&](const cuda::DeviceCapabilities& device, Path of, int splits, int columns) {
    const auto plan = cuda::plan_weight_only({64, 8192, columns}, device, of, splits);
    CHECK_FALSE(plan.has_value());
    return std::string(plan.status().message());
  };
  CHECK(refused(ada, Path::pipeline64, 1, 8192) ==
        "pipelined tiles of 128 x 64, wgmma of 16 bits: needs a Hopper GPU, a driver that describes tensors, and code "
        "compiled for sm_90a");
  CHECK(refused(hopper, Path::pipeline64, 9, 8192) ==
        "pipelined tiles of 128 x 64, wgmma of 16 bits: splits 8192 columns by 8 at most, not by 9");
  CHECK(refused(hopper, Path::pipeline64, 4, 136) ==
        "pipelined tiles of 128 x 64, wgmma of 16 bits: splits 136 columns by 3 at most, not by 4");
  CHECK(refused(hopper, Path::pipeline64, 1, 0) == "pipelined tiles of 128 x 64, wgmma of 16 bits: needs columns");
  CHECK(message({1, 64, 64}, turing) == "weight-only products need compute capability 8.0, this device has 7.5");
  CHECK(message({1, 64, 64, 4, 48}, ada) ==
        "weight-only products on a GPU take groups of a multiple of 32 columns, not of 48");
  CHECK(
      message({1, 64, 64, 4, 0, ElementType::float32}, ada) ==
      "weight-only products take tokens in bfloat16 or half, not in float32: the matrix units multiply 16-bit floats");
  CHECK(message({1, 64, 64, 5}, ada) == "weights are stored in 2, 4 or 8 bits, not 5");
  CHECK(message({-1, 64, 64}, ada) == "a product of -1 tokens, 64 channels, 64 columns");
}

TEST_CASE("weights and arguments that do not fit are refused in a sentence") {
  pl::Random random(5);
  const auto refusal = [](const pl::Codes& codes) {
    const auto made = cuda::FloatWeights::make(codes.view());
    CHECK_FALSE(made.has_value());
    return std::string(made.status().message());
  };
  CHECK(refusal(samples::codes(8, 96, 4, symmetric, 48, random)) ==
        "weight-only products on a GPU take groups of a multiple of 32 columns, not of 48");
  auto codes = samples::codes(8, 96, 4, asymmetric, 32, random);
  codes.scales()[3] = std::numeric_limits<float>::infinity();
  CHECK(refusal(codes) == "weight scale 3 is not finite");
  codes.scales()[3] = 1.0f;
  codes.codes()[5] = 16;
  CHECK(refusal(codes) == "a weight code or zero point does not fit 4 bits");

  const Product p({3, 64, 64, 4, 0, symmetric, ElementType::half, ElementType::half}, true, random);
  auto plan = plan_of(p, Path::stream8, 1);
  alignas(16) std::uint16_t x[8] = {};
  cuda::WeightOnlyArguments a;
  a.x = x;
  a.x_stride = 64;
  a.rows = 3;
  a.w = p.weights.view();
  CHECK(cuda::check(plan, a).ok());
  const auto refused = [&](const cuda::WeightOnlyArguments& bad) { CHECK_FALSE(cuda::check(plan, bad).ok()); };
  auto b = a;
  b.x_stride = 68;
  refused(b);
  b = a;
  b.x = x + 1;
  refused(b);
  b = a;
  b.rows = 4;
  refused(b);
  b = a;
  b.w.group_columns = 32;
  refused(b);
  plan = plan_of(p, Path::stream8, 2);
  refused(a);  // no workspace
}

TEST_CASE("a product without tokens, channels or columns") {
  pl::Random random(6);
  for (const auto path : {Path::stream8, Path::tiles128}) {
    const Product none({3, 64, 0, 4, 0, symmetric, ElementType::half, ElementType::float32}, true, random);
    const auto y = none.run(plan_of(none, path, 1), Added::all, 1);
    for (index n = 0; n < 64; ++n) CHECK(y(2, n) == none.bias[static_cast<std::size_t>(n)] + none.residual(2, n));
    const Product no_tokens({0, 64, 64, 4, 0, symmetric, ElementType::half, ElementType::half}, true, random);
    (void)no_tokens.run(plan_of(no_tokens, path, 1), Added::all, 1);
  }
}

}  // namespace
