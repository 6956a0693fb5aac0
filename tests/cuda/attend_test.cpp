// The shipped kernels of attention over a KV cache, run by the emulator, against float64; and the plans of a cache.
#include <doctest/doctest.h>

#include <planish/kernels/cuda/append_cache.cuh>
#include <planish/kernels/cuda/attend_plan.cuh>
#include <planish/kernels/cuda/dequantize_cache.cuh>

#include "cache_oracles.hpp"
#include "emulator.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using cache_oracles::at, cache_oracles::Batch;
using cuda::ElementType;
using pl::index;

struct AttendCase {
  cuda::CacheShape cache;
  std::vector<std::int32_t> lengths;
  int group, queries;
  ElementType type;
  int splits;
  bool bad;
  ElementType output = ElementType::float32;
};

void check_attend(const AttendCase& c, std::uint64_t seed,
                  const cuda::DeviceCapabilities& device = emulator::small_device) {
  INFO("heads ", c.cache.kv_heads, " of ", c.cache.head_size, " bits ", c.cache.key_bits, " ", c.cache.value_bits,
       " group ", c.group, " queries ", c.queries, " splits ", c.splits, " seed ", seed);
  Batch b(c.cache, c.lengths, ElementType::float32, c.bad, seed);
  fill_pages(b);
  pl::Random random(seed + 1000);
  const index sequences = static_cast<index>(c.lengths.size()), size = c.cache.head_size;
  const index heads = index{c.cache.kv_heads} * c.group, width = heads * size, rows = sequences * c.queries;
  auto query = samples::floats(rows * width, random, 1.5);
  for (index l = 0; l < rows * heads; ++l) {
    if (l % 5 == 1)
      for (index i = 0; i < size; ++i) query[at(l * size + i)] *= 0x1p-9f;
    if (c.bad && l % 7 == 4) query[at(l * size + 1)] = std::numeric_limits<float>::infinity();
  }
  const oracles::Input q(query, c.type);
  cuda::AttendShape shape{c.cache, static_cast<int>(sequences), static_cast<int>(heads), c.queries, b.most, c.type,
                          c.output};
  const auto plan = cuda::plan_attend(shape, device, c.splits);
  REQUIRE(plan.has_value());
  std::vector<std::int32_t> workspace(at(plan->workspace_bytes / 4 + 4));
  std::vector<std::uint8_t> y(at(rows * width * cuda::element_bytes(c.output)), std::uint8_t{0xa5}), again = y;
  std::int32_t bad = 0;
  cuda::AttendArguments a;
  a.q = q.data();
  a.y = y.data();
  a.q_stride = a.y_stride = width;
  a.softmax_scale = 0.1f;
  a.cache = b.pages();
  a.bad_lines = &bad;
  a.workspace = workspace.data();
  CHECK(cuda::check(*plan, a).ok());
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
  const std::int32_t bad_once = bad;
  a.y = again.data();
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed + 77}).ok());
  CHECK(y == again);  // whatever the order of blocks
  CHECK(bad == 2 * bad_once);
  CHECK(std::count(workspace.begin(), workspace.end(), 0) == static_cast<std::ptrdiff_t>(workspace.size()));
  index wrong = 0;
  std::int32_t expected_bad = 0;
  for (index s = 0; s < sequences; ++s)
    for (int r = 0; r < c.queries; ++r)
      for (int h = 0; h < heads; ++h) {
        const index line = (s * c.queries + r) * width + h * size;
        const auto exact = exact_line(b, q.values.data() + line, s, h / c.group, c.lengths[at(s)] - (c.queries - 1 - r),
                                      double{a.softmax_scale}, c.type == ElementType::float32, c.output);
        bool finite = true;
        for (index i = 0; i < size; ++i) {
          const double made = double{cuda::load_element(y.data(), c.output, line + i)};
          finite = finite && std::isfinite(made);
          if (std::isnan(exact.y[at(i)]))
            wrong += !std::isnan(made);
          else
            wrong += !(std::abs(made - exact.y[at(i)]) <= exact.bound[at(i)]);
        }
        expected_bad += finite ? 0 : 1;
      }
  CHECK(wrong == 0);
  CHECK(bad_once == expected_bad);
  CHECK((c.bad || bad == 0));
  CHECK(emulator::faults() == 0);
}

constexpr auto brain = ElementType::bfloat16, half = ElementType::half, single = ElementType::float32;

TEST_CASE("decode attention of every compiled kernel is within its bound of float64") {
  std::uint64_t seed = 1;
  check_attend({{2, 128, 4, 4}, {300, 64, 1}, 4, 1, brain, 1, false, brain}, seed++);
  check_attend({{1, 128, 2, 2}, {130, 65}, 8, 1, half, 1, false, half}, seed++);
  check_attend({{1, 128, 8, 8}, {100, 63}, 1, 1, single, 1, false}, seed++);
  check_attend({{2, 128, 8, 8}, {100, 63}, 2, 1, half, 1, false}, seed++);
  check_attend({{1, 128, 4, 4}, {65, 130}, 8, 1, single, 1, false}, seed++);
  check_attend({{2, 64, 4, 3}, {90, 0, 257}, 3, 1, brain, 1, false}, seed++);
  check_attend({{1, 64, 8, 8}, {70, 128}, 5, 1, brain, 1, false}, seed++);
  check_attend({{1, 64, 2, 4}, {70, 129}, 6, 1, half, 1, false}, seed++);
  check_attend({{1, 48, 4, 2}, {40, 129}, 16, 1, single, 1, false, half}, seed++);
  check_attend({{1, 16, 8, 4}, {70, 30}, 9, 1, half, 1, false}, seed++);
  check_attend({{1, 80, 4, 4}, {70, 133}, 4, 1, brain, 1, false}, seed++);
  check_attend({{1, 96, 8, 2}, {70, 20}, 12, 1, single, 1, false}, seed++);
  check_attend({{1, 112, 2, 8}, {70, 20}, 2, 1, half, 1, false}, seed++);
  check_attend({{1, 256, 4, 4}, {101, 20}, 4, 1, brain, 1, false}, seed++);
  check_attend({{1, 240, 2, 2}, {80}, 3, 1, single, 1, false}, seed++);
  check_attend({{1, 256, 8, 8}, {70}, 10, 1, single, 1, false}, seed++);
  check_attend({{1, 144, 5, 6}, {97, 40}, 16, 1, half, 1, false}, seed++);
}

TEST_CASE("sequences split over blocks, several queries, and what is not finite") {
  std::uint64_t seed = 100;
  check_attend({{1, 128, 4, 4}, {900, 20, 0}, 4, 1, brain, 3, false, brain}, seed++);
  check_attend({{1, 64, 4, 4}, {700, 300}, 1, 1, single, 5, false}, seed++);
  check_attend({{1, 64, 4, 4}, {70, 200, 2}, 2, 4, single, 1, false}, seed++);
  check_attend({{1, 96, 4, 8}, {100, 300}, 5, 5, half, 2, false}, seed++);  // four tiles of lines
  check_attend({{1, 256, 4, 2}, {400}, 6, 2, brain, 2, false}, seed++);
  check_attend({{2, 64, 4, 4}, {40, 300, 5}, 3, 1, single, 1, true}, seed++);
  check_attend({{2, 128, 8, 4}, {12, 18, 400}, 2, 3, brain, 2, true, brain}, seed++);
  cuda::DeviceCapabilities ada{8, 9, 4, 99 * 1024, false};
  check_attend({{1, 256, 8, 8}, {300}, 4, 1, single, 2, false}, seed++, ada);
  check_attend({{1, 128, 8, 8}, {300}, 4, 1, brain, 1, false}, seed++, ada);
}

TEST_CASE("plans of a cache fit their device, and say what they do not take") {
  const cuda::DeviceCapabilities hopper{9, 0, 132, 227 * 1024, true}, ada{8, 9, 128, 99 * 1024, false},
      turing{7, 5, 40, 64 * 1024, false};
  const auto plan = [](const cuda::AttendShape& shape, const cuda::DeviceCapabilities& device) {
    auto made = cuda::plan_attend(shape, device);
    REQUIRE(made.has_value());
    CHECK(made->launch.shared_bytes <= device.shared_bytes);
    return *made;
  };
  for (const auto& device : {hopper, ada})
    for (int size = 16; size <= 256; size += 16)
      for (const int bits : {2, 4, 8})
        for (const int heads : {8, 64, 128}) (void)plan({{8, size, bits, bits}, 3, heads, 1, 8192}, device);
  const auto large = plan({{8, 128, 4, 4}, 32, 32, 1, 8192}, hopper);
  CHECK(large.path == cuda::AttendPath::head128_width4);
  CHECK(large.sharing.warps == 4);
  // Where blocks of four would come in two waves, as many blocks of three run at once.
  const auto waves = plan({{8, 128, 4, 4}, 64, 32, 1, 8192}, hopper);
  CHECK(waves.sharing.warps == 3);
  CHECK(waves.launch.blocks <= hopper.multiprocessors * (hopper.shared_bytes / waves.launch.shared_bytes));
  CHECK(large.sharing.splits == 1);
  CHECK(plan({{8, 128, 4, 4}, 1, 32, 1, 8192}, hopper).sharing.splits == 11);
  CHECK(plan({{8, 128, 4, 4}, 1, 32, 1, 64}, hopper).workspace_bytes == 0);
  CHECK(plan({{8, 128, 4, 4}, 0, 32, 1, 64}, hopper).launch.blocks == 0);
  const auto refused = [](const auto& result) { return std::string(result.status().message()); };
  CHECK(refused(cuda::plan_attend({{8, 128, 4, 4}, 1, 32, 17, 64}, hopper)) ==
        "attention: 17 queries a sequence, decoding takes up to 16; for a prompt turn the pages into rows with "
        "plan_dequantize_cache and attend with a kernel of the host's own");
  CHECK(refused(cuda::plan_attend({{8, 128, 4, 4}, 1, 12, 1, 64}, hopper)) ==
        "attention: 12 query heads are not a multiple of 8 KV heads");
  CHECK(refused(cuda::plan_attend({{8, 128, 4, 4}, 1, 8, 1, 64}, turing)) ==
        "attention over a quantized cache needs compute capability 8.0, this device has 7.5");
  CHECK(refused(cuda::plan_append({{8, 100, 4, 4}, 1, 1}, hopper)) ==
        "KV cache: head_size is 100; on a GPU it is a multiple of 16 up to 256");
  CHECK(refused(cuda::plan_append({{8, 128, 16, 4}, 1, 1}, hopper)) == "KV cache: 16 bits; codes on a GPU have 2 to 8");
  CHECK_FALSE(cuda::plan_append({{0, 128, 4, 4}, 1, 1}, hopper).has_value());
  CHECK_FALSE(cuda::plan_append({{8, 128, 4, 4}, 1, 1, ElementType::int32}, hopper).has_value());
  CHECK_FALSE(cuda::plan_dequantize_cache({{8, 128, 4, 4}, 1 << 15, 1 << 20}, hopper).has_value());

  const auto append = cuda::plan_append({{8, 128, 4, 4}, 2, 1}, hopper);
  cuda::AppendArguments a;
  a.cache = {append->layout, nullptr, nullptr, 1, nullptr};
  a.key_stride = a.value_stride = 1024;
  CHECK(cuda::check(*append, a).ok());
  a.key_stride = 1000;
  CHECK(cuda::check(*append, a).code() == pl::ErrorCode::shape_mismatch);
  a.key_stride = 1024;
  a.cache.layout.key_bits = 3;
  CHECK(cuda::check(*append, a).code() == pl::ErrorCode::shape_mismatch);
  cuda::AttendArguments b;
  b.cache = {large.layout, nullptr, nullptr, 127, nullptr};
  b.q_stride = b.y_stride = 4096;
  CHECK(cuda::check(large, b).message() == "a page table of 127 pages a sequence does not reach 8192 tokens");
  b.cache.table_stride = 128;
  CHECK(cuda::check(large, b).ok());  // one block a sequence and head
  CHECK(cuda::check(plan({{8, 128, 4, 4}, 1, 32, 1, 8192}, hopper), b).code() ==
        pl::ErrorCode::invalid_argument);  // no workspace
}

}  // namespace
