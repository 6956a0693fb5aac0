// The shipped kernels of the KV cache, run by the emulator: appending and dequantizing against the reference to the
// bit, attention against float64.
#include <doctest/doctest.h>

#include <planish/kernels/cuda/append_cache.cuh>
#include <planish/kernels/cuda/dequantize_cache.cuh>
#include <planish/kernels/cuda/half_pairs.cuh>

#include "cache_oracles.hpp"
#include "emulator.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using cache_oracles::at, cache_oracles::Batch;
using cuda::ElementType;
using pl::index;

/// Every code, scale and zero point of a head's part has bits of its own, and no byte of codes belongs to two tokens.
template <int HeadSize, int KeyBits, int ValueBits>
constexpr bool places_are_bijections() {
  constexpr cuda::CacheLayout l = cuda::cache_layout_of({1, HeadSize, KeyBits, ValueBits});
  int owner[l.head_bytes()] = {};  // token + 1
  std::uint8_t taken[l.head_bytes()] = {};
  const auto take = [&](int byte, int bits, int token) {
    if (byte < 0 || byte >= l.head_bytes() || (taken[byte] & bits) != 0) return false;
    if (owner[byte] != 0 && owner[byte] != token + 1) return false;
    owner[byte] = token + 1;
    taken[byte] = static_cast<std::uint8_t>(taken[byte] | bits);
    return true;
  };
  for (int t = 0; t < 64; ++t) {
    for (int c = 0; c < HeadSize; ++c) {
      const cuda::UnitPosition k = cuda::key_place(l, t, c), v = cuda::value_place(l, t, c);
      if (k.byte >= l.key_bytes() || v.byte < l.key_bytes() || v.byte >= l.side_offset()) return false;
      if (!take(k.byte, ((1 << l.key_width) - 1) << k.shift, t)) return false;
      if (!take(v.byte, ((1 << l.value_width) - 1) << v.shift, t)) return false;
    }
    for (int i = 0; i < 4; ++i)
      if (!take(cuda::key_scale_place(l, t) + i, 255, t) || !take(cuda::value_scale_place(l, t) + i, 255, t))
        return false;
    if (!take(cuda::key_zero_place(l, t), 255, t) || !take(cuda::value_zero_place(l, t), 255, t)) return false;
  }
  return l.head_bytes() % 128 == 0;
}

#if !defined(__clang__)  // whose default limit of steps is too low
static_assert(places_are_bijections<64, 4, 4>() && places_are_bijections<80, 8, 2>() &&
              places_are_bijections<128, 4, 4>());
#endif

TEST_CASE("places in a page are bijections") {
  CHECK(places_are_bijections<16, 2, 8>());
  CHECK(places_are_bijections<64, 4, 4>());
  CHECK(places_are_bijections<80, 3, 4>());
  CHECK(places_are_bijections<96, 2, 2>());
  CHECK(places_are_bijections<128, 2, 4>());
  CHECK(places_are_bijections<128, 8, 6>());
  CHECK(places_are_bijections<240, 4, 2>());
  CHECK(places_are_bijections<256, 8, 8>());
}

TEST_CASE("a lane's word of a line holds its elements of the large operand") {
  for (const int bits : {2, 4, 8}) {
    const cuda::CacheLayout l = cuda::cache_layout_of({1, 128, bits, bits});
    const int fields = 8 / bits;
    for (int lane = 0; lane < 32; ++lane)
      for (int r = 0; r < 4; ++r)
        for (int h = 0; h < 2; ++h)
          for (int field = 0; field < fields; ++field) {
            const cuda::Element e = cuda::half_a_element(lane, r, h);  // row, column of a 16 × 16 product
            const int byte = r / 2 + 2 * h;                            // as expand_codes deals them
            // Keys: rows are tokens, a product of piece 1 and this field is over 16 channels.
            const int u = 2, half = e.row / 8, channel = (16 + lane % 4 * 4 + byte) * fields + field;
            if (channel < 128)
              CHECK(cuda::key_place(l, 16 * u + e.row, channel) ==
                    cuda::UnitPosition{((2 * u + half) * l.key_pieces + 1) * 128 + lane * 4 + byte, field * bits});
            // Values: rows are bytes of channels, columns are tokens.
            CHECK(cuda::value_place(l, 16 * u + e.column, e.row * fields + field) ==
                  cuda::UnitPosition{l.key_bytes() + (u * l.value_lines + e.row / 8) * 128 + lane * 4 + byte,
                                     field * bits});
          }
  }
}

template <int Width, int Field>
void check_expansion() {
  for (std::uint32_t a = 0; a < 256; ++a) {
    std::uint32_t first = 0, second = 0;
    cuda::expand_codes<Width, Field>(a | (255 - a) << 8 | (a ^ 85) << 16 | (a ^ 170) << 24, first, second);
    const auto expected = [](std::uint32_t byte) {
      return static_cast<float>(static_cast<int>(byte >> (Width * Field) & ((1u << Width) - 1u)) - (1 << (Width - 1)));
    };
    const auto half = [](std::uint32_t pair, int h) {
      return pl::Half{static_cast<std::uint16_t>(pair >> (16 * h))}.to_float();
    };
    CHECK(half(first, 0) == expected(a));
    CHECK(half(second, 0) == expected(255 - a));
    CHECK(half(first, 1) == expected(a ^ 85));
    CHECK(half(second, 1) == expected(a ^ 170));
  }
}

TEST_CASE("codes become halves exactly") {
  check_expansion<8, 0>();
  check_expansion<4, 0>();
  check_expansion<4, 1>();
  check_expansion<2, 0>();
  check_expansion<2, 1>();
  check_expansion<2, 2>();
  check_expansion<2, 3>();
}

/// Appends the tokens of a batch in steps, each sequence by shares of its own, and compares after every step.
void check_append(const cuda::CacheShape& shape, std::vector<std::int32_t> lengths, ElementType type,
                  const std::vector<double>& steps, std::uint64_t seed) {
  INFO("heads ", shape.kv_heads, " of ", shape.head_size, " bits ", shape.key_bits, " ", shape.value_bits, " seed ",
       seed);
  Batch b(shape, lengths, type, true, seed);
  const int element = cuda::element_bytes(type);
  const index row_bytes = b.width() * element, sequences = static_cast<index>(lengths.size());
  std::vector<std::int32_t> before(at(sequences)), after(at(sequences));
  std::int32_t bad = 0, expected_bad = 0;
  for (const double step : steps) {
    std::vector<std::int32_t> first_rows{0};
    std::vector<std::uint8_t> keys, values;
    int most = 0;
    for (index s = 0; s < sequences; ++s) {
      after[at(s)] = step >= 1.0 ? std::min(b.lengths[at(s)], before[at(s)] + static_cast<int>(step))
                                 : std::max(before[at(s)], static_cast<int>(step * b.lengths[at(s)]));
      const int count = after[at(s)] - before[at(s)];
      most = std::max(most, count);
      first_rows.push_back(first_rows.back() + count);
      const index begin = (s * b.most + before[at(s)]) * row_bytes;
      const auto* k = static_cast<const std::uint8_t*>(b.keys.data()) + begin;
      const auto* v = static_cast<const std::uint8_t*>(b.values.data()) + begin;
      keys.insert(keys.end(), k, k + count * row_bytes);
      values.insert(values.end(), v, v + count * row_bytes);
      for (index t = before[at(s)]; t < after[at(s)]; ++t)
        for (int h = 0; h < shape.kv_heads; ++h)
          for (const bool value : {false, true})
            expected_bad += std::isnan(stored_by_reference(b, value, s, t, h).scale) ? 1 : 0;
    }
    const auto plan = cuda::plan_append({shape, static_cast<int>(sequences), most, type}, emulator::small_device);
    REQUIRE(plan.has_value());
    cuda::AppendArguments a;
    a.keys = keys.data();
    a.values = values.data();
    a.key_stride = a.value_stride = b.width();
    a.first_rows = first_rows.data();
    a.key_clip = b.key_clip;
    a.value_clip = b.value_clip;
    a.cache = b.pages();
    a.cache.lengths = after.data();
    a.bad_rows = &bad;
    CHECK(cuda::check(*plan, a).ok());
    CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
    CHECK(cache_oracles::page_differences(b, after) == 0);
    CHECK(bad == expected_bad);
    before = after;
  }
  CHECK(emulator::faults() == 0);
}

TEST_CASE("appended tokens are the reference's codes, scales and zero points, and nothing else changes") {
  std::uint64_t seed = 1;
  const auto single = ElementType::float32, brain = ElementType::bfloat16, half = ElementType::half;
  check_append({2, 128, 4, 4}, {70, 0, 33}, brain, {0.6, 1.0, 1.0, 0.99}, seed++);
  check_append({1, 64, 8, 4}, {17, 100}, half, {0.5, 2.0, 3.0}, seed++);
  check_append({3, 80, 2, 3}, {40}, single, {1.0, 0.7, 5.0}, seed++);
  check_append({1, 96, 3, 2}, {66, 1}, brain, {0.9, 1.0}, seed++);
  check_append({1, 16, 5, 8}, {130}, single, {0.99, 1.0}, seed++);
  check_append({2, 256, 4, 8}, {20, 35}, half, {0.5, 16.0}, seed++);
  check_append({1, 240, 2, 6}, {18}, brain, {0.99}, seed++);
}

TEST_CASE("one row for every sequence needs no list of rows") {
  Batch b({2, 64, 4, 2}, {1, 1, 1}, ElementType::bfloat16, false, 5);
  const auto plan = cuda::plan_append({b.shape, 3, 1}, emulator::small_device);
  REQUIRE(plan.has_value());
  CHECK(std::string(plan->describe()) == "a warp per token and head");
  cuda::AppendArguments a;
  a.keys = b.keys.data();
  a.values = b.values.data();
  a.key_stride = a.value_stride = b.width();
  a.key_clip = b.key_clip;
  a.value_clip = b.value_clip;
  a.cache = b.pages();
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{3}).ok());
  CHECK(cache_oracles::page_differences(b, b.lengths) == 0);
  b.lengths = {65 + 64, -1, 2};  // beyond the table, nonsense, more than it has rows
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{4}).ok());
  CHECK(emulator::faults() == 0);
}

TEST_CASE("dequantized rows are the codes' values, rounded once") {
  std::uint64_t seed = 1;
  for (const auto type : {ElementType::float32, ElementType::bfloat16, ElementType::half})
    for (const int size : {16, 80, 128}) {
      Batch b({2, size, size == 80 ? 2 : 4, size == 128 ? 8 : 3}, {70, 0, 5}, ElementType::float32, true, seed++);
      fill_pages(b);
      const auto plan = cuda::plan_dequantize_cache({b.shape, 3, b.most, type}, emulator::small_device);
      REQUIRE(plan.has_value());
      const int element = cuda::element_bytes(type);
      std::vector<std::uint8_t> keys(at(80 * b.width() * element), std::uint8_t{0xa5}), values = keys;
      const std::int32_t first_rows[] = {5, 0, 0};
      cuda::DequantizeCacheArguments a{b.pages(), first_rows, keys.data(), values.data(), b.width(), b.width()};
      CHECK(cuda::check(*plan, a).ok());
      CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
      index wrong = 0;
      for (const bool value : {false, true})
        for (const index s : {0, 2})
          for (index t = 0; t < b.lengths[at(s)]; ++t)
            for (int h = 0; h < 2; ++h) {
              const auto expected = dequantized(b, value, s, t, h);
              for (index c = 0; c < size; ++c) {
                const index place = (first_rows[s] + t) * b.width() + h * size + c;
                const float made = cuda::load_element((value ? values : keys).data(), type, place);
                const auto want = static_cast<float>(cache_oracles::rounded(double{expected[at(c)]}, type));
                wrong += oracles::bits_of(made) != oracles::bits_of(want);
              }
            }
      CHECK(wrong == 0);
      CHECK(emulator::faults() == 0);
    }
}

}  // namespace
