// What the plans of a KV cache do not take, and the sentence that says so.
#include <cstdint>
#include <string>

#include <climits>
#include <doctest/doctest.h>

#include <planish/kernels/cuda/append_cache.cuh>
#include <planish/kernels/cuda/append_heads_plan.cuh>
#include <planish/kernels/cuda/attend_plan.cuh>
#include <planish/kernels/cuda/dequantize_cache.cuh>

#include "emulator.hpp"
#include "refusals.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using cuda::ElementType;
using refusals::refusal, refusals::turing;
constexpr const auto& device = emulator::small_device;
constexpr cuda::CacheShape shape{2, 64, 4, 4};

/// Pages of one page a sequence that lie nowhere yet.
cuda::CachePages pages() {
  cuda::CachePages made;
  made.layout = cuda::cache_layout_of(shape);
  made.table_stride = 1;
  return made;
}

TEST_CASE("caches that no kernel takes") {
  CHECK(refusal(cuda::plan_cache({0, 64, 4, 4})) == "KV cache: kv_heads is 0, must be in 1..4096");
  CHECK(refusal(cuda::plan_cache({2, 272, 4, 4})) ==
        "KV cache: head_size is 272; on a GPU it is a multiple of 16 up to 256");
  CHECK(refusal(cuda::plan_cache({2, 64, 4, 9})) == "KV cache: 9 bits; codes on a GPU have 2 to 8");
  const cuda::CacheShape none{0, 64, 4, 4};
  const std::string sentence = "KV cache: kv_heads is 0, must be in 1..4096";
  CHECK(refusal(cuda::plan_append({none, 1, 1}, device)) == sentence);
  CHECK(refusal(cuda::plan_append_heads({none, 4, 1, 1}, device)) == sentence);
  CHECK(refusal(cuda::plan_attend({none, 1, 4, 1, 64}, device)) == sentence);
  CHECK(refusal(cuda::plan_dequantize_cache({none, 1, 64}, device)) == sentence);
}

TEST_CASE("appending") {
  CHECK(refusal(cuda::plan_append({shape, 1, 1, ElementType::int32}, device)) == "KV cache: int32 is not quantized");
  CHECK(refusal(cuda::plan_append({shape, -1, 3}, device)) == "KV cache: 3 new tokens for each of -1 sequences");
  CHECK(refusal(cuda::plan_append({shape, 1, -3}, device)) == "KV cache: -3 new tokens for each of 1 sequences");
  CHECK(refusal(cuda::plan_append({shape, 65537, 1}, device)) == "KV cache: 1 new tokens for each of 65537 sequences");
  CHECK(refusal(cuda::plan_append({shape, 1, INT_MAX}, device)) ==
        "KV cache: 2147483647 new tokens for each of 1 sequences");
  CHECK(refusal(cuda::plan_append({shape, 1 << 16, 1 << 24}, device)) ==
        "KV cache: 16777216 new tokens for each of 65536 sequences are too many for one launch; append in parts");

  const auto plan = cuda::plan_append({shape, 2, 8}, device);
  REQUIRE(plan.has_value());
  CHECK(std::string(plan->describe()) == "a block per 16 tokens and head");
  cuda::AppendArguments a;
  a.key_stride = a.value_stride = 128;
  a.cache = pages();
  CHECK(cuda::check(*plan, a).ok());
  alignas(128) std::uint8_t bytes[256] = {};
  CHECK(refusal(*plan, a, [&](auto& o) { o.cache.pages = bytes + 64; }) ==
        "pages of a KV cache must lie on a multiple of 128 bytes");
  CHECK(refusal(*plan, a, [](auto& o) { o.cache.table_stride = 0; }) ==
        "a page table of 0 pages a sequence does not reach 8 tokens");
  CHECK(refusal(*plan, a, [](auto& o) { o.cache.layout.kv_heads = 3; }) ==
        "the KV cache has 3 heads of 64, the plan was made for another layout of 2 heads of 64");
  CHECK(refusal(*plan, a, [](auto& o) { o.key_stride = 127; }) ==
        "KV cache: rows of 128 keys and values do not lie 127 and 128 elements apart");
  const std::string clips = "KV cache: clip factors must be in 2^-20..16";
  CHECK(refusal(*plan, a, [](auto& o) { o.key_clip.positive = 17.0f; }) == clips);
  CHECK(refusal(*plan, a, [](auto& o) { o.value_clip.negative = 0.0f; }) == clips);
}

TEST_CASE("heads that become rows and codes") {
  CHECK(refusal(cuda::plan_append_heads({shape, 4, 1, 1}, turing)) ==
        "transforms of heads need compute capability 8.0, this device has 7.5");
  CHECK(refusal(cuda::plan_append_heads({shape, -4, 1, 2}, device)) ==
        "-4 query heads of 2 new tokens for each of 1 sequences");
  CHECK(refusal(cuda::plan_append_heads({shape, 4097, 1, 2}, device)) ==
        "4097 query heads of 2 new tokens for each of 1 sequences");
  CHECK(refusal(cuda::plan_append_heads({shape, 4, 65537, 2}, device)) ==
        "4 query heads of 2 new tokens for each of 65537 sequences");
  CHECK(refusal(cuda::plan_append_heads({shape, 4, 1, -1}, device)) ==
        "4 query heads of -1 new tokens for each of 1 sequences");
  CHECK(refusal(cuda::plan_append_heads({shape, 4, 1 << 16, 1 << 24}, device)) ==
        "heads of 16777216 new tokens for each of 65536 sequences are too many for one launch; append in parts");

  const auto plan = cuda::plan_append_heads({shape, 4, 2, 1}, device);
  REQUIRE(plan.has_value());
  cuda::AppendHeadsArguments a;
  a.x_stride = 8 * 64;
  a.q_stride = 4 * 64;
  a.cache = pages();
  CHECK(cuda::check(*plan, a).ok());
  CHECK(refusal(*plan, a, [](auto& o) { o.x_stride = 504; }) ==
        "rows of 8 heads of 64 channels and of their queries do not lie 504 and 256 elements apart");
  CHECK(refusal(*plan, a, [](auto& o) { o.q_stride = 248; }) ==
        "rows of 8 heads of 64 channels and of their queries do not lie 512 and 248 elements apart");
  CHECK(refusal(*plan, a, [](auto& o) { o.cache.table_stride = 0; }) ==
        "a page table of 0 pages a sequence does not reach 1 tokens");
  const std::string clips = "KV cache: clip factors must be in 2^-20..16";
  CHECK(refusal(*plan, a, [](auto& o) { o.key_clip.negative = -1.0f; }) == clips);
  CHECK(refusal(*plan, a, [](auto& o) { o.value_clip.positive = 17.0f; }) == clips);
}

TEST_CASE("attention") {
  CHECK(refusal(cuda::plan_attend({shape, -1, 4, 1, 64}, device)) ==
        "attention: 1 queries for each of -1 sequences of 64 tokens");
  CHECK(refusal(cuda::plan_attend({shape, 1, 4, 0, 64}, device)) ==
        "attention: 0 queries for each of 1 sequences of 64 tokens");
  CHECK(refusal(cuda::plan_attend({shape, 1, 4, 1, -64}, device)) ==
        "attention: 1 queries for each of 1 sequences of -64 tokens");
  CHECK(refusal(cuda::plan_attend({shape, 65537, 4, 1, 64}, device)) ==
        "attention: 1 queries for each of 65537 sequences of 64 tokens");
  CHECK(refusal(cuda::plan_attend({shape, 1, 1 << 30, 16, 64}, device)) ==
        "attention: 1073741824 query heads, it takes up to 1048576");
  const std::string floats = "attention: queries and outputs are floats, not int32";
  CHECK(refusal(cuda::plan_attend({shape, 1, 4, 1, 64, ElementType::int32}, device)) == floats);
  CHECK(refusal(cuda::plan_attend({shape, 1, 4, 1, 64, ElementType::half, ElementType::int32}, device)) == floats);
  auto small = device;
  small.shared_bytes = 1024;
  const auto needs = [](const cuda::AttendShape& of) {
    const auto layout = cuda::cache_layout_of(of.cache);
    return std::to_string(cuda::attend_memory<cuda::AttendSize<64, 1, 4>>(layout, 1, 1).bytes);
  };
  CHECK(refusal(cuda::plan_attend({shape, 1, 4, 1, 64}, small)) ==
        "attention: " + needs({shape}) + " bytes of shared memory are needed, the device gives 1024");
  // 64 query heads for each of 4096 KV heads, 16 queries: 64 blocks a KV head
  CHECK(refusal(cuda::plan_attend({{4096, 64, 4, 4}, 65536, 4096 * 64, 16, 64}, device)) ==
        "attention: 65536 sequences are too many for one launch; take fewer");

  const auto plan = cuda::plan_attend({shape, 2, 4, 1, 64}, device, 1),
             split = cuda::plan_attend({shape, 2, 4, 1, 64}, device, 2);
  REQUIRE(plan.has_value());
  REQUIRE(split.has_value());
  CHECK(std::string(plan->describe()) == "streamed pages, mma.sync of halves");
  CHECK(std::string(split->describe()) == "streamed pages, mma.sync of halves, sequences split over blocks");
  cuda::AttendArguments a;
  a.q_stride = a.y_stride = 4 * 64;
  a.cache = pages();
  CHECK(cuda::check(*plan, a).ok());
  CHECK(refusal(*plan, a, [](auto& o) { o.q_stride = 255; }) ==
        "attention: rows of 256 elements do not lie 255 and 256 elements apart");
  CHECK(refusal(*plan, a, [](auto& o) { o.y_stride = 0; }) ==
        "attention: rows of 256 elements do not lie 256 and 0 elements apart");
  CHECK(refusal(*split, a, [](auto&) {}) == "attention needs a zeroed workspace of " +
                                                std::to_string(split->workspace_bytes) + " bytes on a multiple of 16");
}

TEST_CASE("pages back to rows") {
  CHECK(refusal(cuda::plan_dequantize_cache({shape, 1, 64, ElementType::int32}, device)) ==
        "KV cache: values are floats, not int32");
  CHECK(refusal(cuda::plan_dequantize_cache({shape, -1, 64}, device)) == "KV cache: -1 sequences of 64 tokens");
  CHECK(refusal(cuda::plan_dequantize_cache({shape, 1, (1 << 28) + 1}, device)) ==
        "KV cache: 1 sequences of 268435457 tokens");
  CHECK(refusal(cuda::plan_dequantize_cache({shape, 1 << 16, 1 << 28}, device)) ==
        "KV cache: 65536 sequences of 268435456 tokens are too many for one launch; take fewer sequences");

  const auto plan = cuda::plan_dequantize_cache({shape, 2, 64}, device);
  REQUIRE(plan.has_value());
  CHECK(std::string(plan->describe()) == "a block per page and head");
  alignas(16) std::uint16_t rows[8] = {};
  cuda::DequantizeCacheArguments a;
  a.cache = pages();
  a.keys = a.values = rows;
  a.key_stride = a.value_stride = 128;
  CHECK(cuda::check(*plan, a).ok());
  CHECK(refusal(*plan, a, [](auto& o) { o.value_stride = 64; }) ==
        "KV cache: rows of 128 keys and values do not lie 128 and 64 elements apart");
  a.values = nullptr;  // not wanted: its rows may lie as they like
  a.value_stride = 0;
  CHECK(cuda::check(*plan, a).ok());
}

}  // namespace
