// The shipped kernel that turns, transforms and appends heads, run by the emulator: without a transform to the bit
// against plain loops and the reference's codes, with one within the law of transforms.
#include <string>

#include <doctest/doctest.h>

#include "emulator.hpp"
#include "heads_oracles.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using cache_oracles::at, cache_oracles::HeadsBatch;
using cuda::ElementType;
using pl::index;

/// Appends a batch in steps of so many tokens a sequence, as far as it has them.
void check_heads(const cuda::CacheShape& shape, int heads, std::vector<std::int32_t> lengths, int pairs,
                 bool interleaved, ElementType type, bool transforms, const std::vector<int>& steps,
                 std::uint64_t seed) {
  INFO("heads ", heads, " over ", shape.kv_heads, " of ", shape.head_size, " seed ", seed);
  HeadsBatch b(shape, heads, std::move(lengths), pairs, interleaved, type, seed);
  const index sequences = static_cast<index>(b.batch.lengths.size());
  std::vector<std::int32_t> before(at(sequences)), after(at(sequences));
  std::int32_t bad = 0;
  for (const int step : steps) {
    std::vector<std::int32_t> first_rows{0};
    std::vector<std::uint16_t> room;
    for (index s = 0; s < sequences; ++s) {
      after[at(s)] = std::min(b.batch.lengths[at(s)], before[at(s)] + step);
      first_rows.push_back(first_rows.back() + after[at(s)] - before[at(s)]);
      const auto* row = b.x() + (s * b.batch.most + before[at(s)]) * b.stride();
      room.insert(room.end(), row, row + (after[at(s)] - before[at(s)]) * b.stride());
    }
    const index rows = first_rows.back(), width = index{heads} * shape.head_size;
    std::vector<std::uint16_t> q(at(rows * width + 8), 0x7fff);
    alignas(16) std::uint16_t none[8] = {};
    const auto aligned = [&](std::vector<std::uint16_t>& v) {
      return v.empty() ? none : v.data() + (16 - reinterpret_cast<std::uintptr_t>(v.data()) % 16) % 16 / 2;
    };
    room.resize(room.size() + 8);
    const auto shift = aligned(room) - room.data();
    std::copy_backward(room.begin(), room.end() - 8, room.end() - 8 + shift);
    const auto plan =
        cuda::plan_append_heads({shape, heads, static_cast<int>(sequences), step, type}, emulator::small_device);
    REQUIRE(plan.has_value());
    cuda::AppendHeadsArguments a;
    a.x = room.data() + shift;
    a.x_stride = b.stride();
    a.rotary = b.rotary;
    if (transforms) a.queries = b.query_factors.view(), a.keys = b.key_factors.view();
    a.q = aligned(q);
    a.q_stride = width;
    a.first_rows = first_rows.data();
    a.key_clip = b.batch.key_clip;
    a.value_clip = b.batch.value_clip;
    a.cache = b.batch.pages();
    a.cache.lengths = after.data();
    a.bad_rows = &bad;
    CHECK(std::string(cuda::check(*plan, a).message()) == "");
    CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
    const std::vector<std::uint16_t> made(aligned(q), aligned(q) + rows * width);
    CHECK(b.wrong_queries(made, before, after, transforms) == 0);
    if (transforms)
      CHECK(b.wrong_keys(after) == 0);
    else
      CHECK(cache_oracles::page_differences(b.batch, after) == 0);
    before = after;
  }
  if (!transforms) {
    std::int32_t expected_bad = 0;
    for (index s = 0; s < sequences; ++s)
      for (index t = 0; t < after[at(s)]; ++t)
        for (int h = 0; h < shape.kv_heads; ++h)
          for (const bool value : {false, true})
            expected_bad += std::isnan(stored_by_reference(b.batch, value, s, t, h).scale) ? 1 : 0;
    CHECK(bad == expected_bad);
  }
  CHECK(emulator::faults() == 0);
}

TEST_CASE("heads turn and become rows and codes in one launch, to the bit") {
  const auto brain = ElementType::bfloat16, half = ElementType::half;
  check_heads({2, 128, 4, 4}, 8, {21, 0, 36}, 64, false, brain, false, {20, 1, 3, 12}, 1);
  check_heads({1, 64, 8, 2}, 3, {40}, 16, false, half, false, {9, 8, 23}, 2);
  check_heads({3, 80, 2, 8}, 3, {5, 18}, 40, true, brain, false, {1, 17}, 3);
  check_heads({1, 16, 3, 4}, 2, {67}, 0, false, half, false, {67}, 4);
  check_heads({18, 32, 4, 4}, 36, {3, 2}, 16, false, brain, false, {1, 2}, 5);
  check_heads({1, 256, 4, 4}, 2, {12}, 64, true, brain, false, {11, 1}, 6);
}

TEST_CASE("and meet their transforms within the law of transforms") {
  const auto brain = ElementType::bfloat16, half = ElementType::half;
  check_heads({2, 128, 4, 4}, 8, {21, 0, 36}, 64, false, brain, true, {20, 1, 3, 12}, 11);
  check_heads({1, 64, 8, 2}, 3, {40}, 32, false, half, true, {9, 31}, 12);
  check_heads({3, 80, 2, 8}, 3, {5, 18}, 40, true, brain, true, {1, 17}, 13);
  check_heads({1, 240, 4, 4}, 2, {12}, 120, false, half, true, {11, 1}, 14);
}

TEST_CASE("heads that cannot be taken are refused in a sentence") {
  HeadsBatch b({1, 64, 4, 4}, 2, {1}, 32, false, ElementType::bfloat16, 1);
  const auto plan = cuda::plan_append_heads({b.batch.shape, 2, 1, 1}, emulator::small_device);
  REQUIRE(plan.has_value());
  CHECK(std::string(plan->describe()) == "a block per token and 16 heads, mma.sync of 16-bit floats");
  cuda::AppendHeadsArguments a;
  a.x = b.x();
  a.q = b.x();
  a.cache = b.batch.pages();
  CHECK(cuda::check(*plan, a).ok());
  const auto refusal = [&](auto&& change) {
    auto other = a;
    change(other);
    return std::string(cuda::check(*plan, other).message());
  };
  CHECK(refusal([&](auto& o) { o.x = b.x() + 1; }) ==
        "rows of heads and of queries must begin on multiples of 16 bytes");
  CHECK(refusal([&](auto& o) { o.rotary.pairs = 12; }) ==
        "12 pairs of channels turn, of 64 channels: it takes multiples of 8, of 4 if interleaved");
  CHECK(refusal([&](auto& o) { o.rotary.pairs = 32; }) ==
        "tables of cosines and sines must lie on multiples of 16 bytes");
  CHECK(refusal([&](auto& o) {
          o.keys = b.key_factors.view();
          o.keys.n2 = 48;
        }) == "a transform of heads of 64 channels in bfloat16 is not 1 x 48 in bfloat16");
  CHECK(std::string(cuda::plan_append_heads({b.batch.shape, 2, 1, 1, ElementType::float32}, emulator::small_device)
                        .status()
                        .message()) ==
        "heads that become rows and codes in one launch are bfloat16 or half, not float32");
}

}  // namespace
