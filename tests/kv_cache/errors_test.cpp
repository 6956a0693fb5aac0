#include <limits>
#include <string>

#include "support.hpp"

namespace planish::test {

namespace {

constexpr float bad_numbers[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                                 -std::numeric_limits<float>::infinity()};

}  // namespace

TEST_CASE("options out of range are refused") {
  const KvCacheOptions good{.kv_heads = 1, .head_size = 4, .capacity = 10};
  REQUIRE(KvCache::make(good).has_value());
  CHECK(KvCache::make(good)->capacity() == 10);
  const auto code = [](KvCacheOptions o) { return KvCache::make(o).status().code(); };
  const auto with = [&](auto change) {
    KvCacheOptions o = good;
    change(o);
    return code(o);
  };
  CHECK(with([](auto& o) { o.kv_heads = 0; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.head_size = 0; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.capacity = -1; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.key_bits = 1; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.value_bits = 9; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.key_clip = {0.0f, 1.0f}; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.value_clip.negative = bad_numbers[0]; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.prefix_tokens = -1; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.capacity = index{1} << 28, o.kv_heads = o.head_size = 1 << 16; }) ==
        ErrorCode::out_of_memory);
}

TEST_CASE("sizes up to the limits pass, one more does not") {
  const auto with = [](auto change) {
    KvCacheOptions o{.kv_heads = 1, .head_size = 4, .capacity = 10};
    change(o);
    return check(o).code();
  };
  constexpr index heads = 1 << 16, tokens = index{1} << 28;
  // 32 bits count fewer elements than these make together.
  constexpr auto most = sizeof(index) == 8 ? ErrorCode::ok : ErrorCode::out_of_memory;
  CHECK(with([](auto& o) { o.kv_heads = heads; }) == most);
  CHECK(with([](auto& o) { o.kv_heads = heads + 1; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.head_size = heads; }) == ErrorCode::ok);
  CHECK(with([](auto& o) { o.head_size = heads + 1; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.capacity = tokens; }) == most);
  CHECK(with([](auto& o) { o.capacity = tokens + 1; }) == ErrorCode::invalid_argument);
  CHECK(with([](auto& o) { o.capacity = 0, o.prefix_tokens = 1000; }) == ErrorCode::ok);
  if constexpr (sizeof(index) == 8) {  // heads (head size + 16) (capacity + 64) elements at most
    const auto elements = [&](index more_channels, index more_tokens) {
      return with([&](auto& o) {
        o.kv_heads = heads, o.head_size = (1 << 10) - block_lanes + more_channels;
        o.capacity = (1 << 20) - page_tokens + more_tokens;
      });
    };
    CHECK(most_elements == index{1} << 46);
    CHECK(elements(0, 0) == ErrorCode::ok);
    CHECK(elements(0, 1) == ErrorCode::out_of_memory);
    CHECK(elements(1, 0) == ErrorCode::out_of_memory);
  }
}

TEST_CASE("wrong shapes and overflow change nothing") {
  KvCache cache = make_cache({.kv_heads = 2, .head_size = 8, .capacity = 5, .key_bits = 4, .value_bits = 4});
  const Rows k(6, 16, 1), narrow(3, 15, 2), q(2, 32, 3);
  CHECK(cache.append(k.view(), k.view()).code() == ErrorCode::invalid_argument);
  CHECK(cache.append(narrow.view(), narrow.view()).code() == ErrorCode::shape_mismatch);
  CHECK(cache.append(k.middle(0, 2), k.middle(0, 3)).code() == ErrorCode::shape_mismatch);
  CHECK(cache.append(narrow.view(), k.middle(0, 3)).code() == ErrorCode::shape_mismatch);
  CHECK(cache.append(k.middle(0, 3), narrow.view()).code() == ErrorCode::shape_mismatch);
  CHECK(cache.tokens() == 0);
  CHECK(cache.append(k.middle(0, 0), k.middle(0, 0)).ok());
  CHECK(cache.append(k.middle(0, 4), k.middle(0, 4)).ok());

  Rows y(2, 32);
  std::vector<std::byte> memory(cache.workspace_size(2, 4, 1));
  const Workspace ws(memory);
  CHECK(cache.attend(q.view(), 2, 1.0f, y.view(), ws).ok());
  CHECK(cache.attend(q.view(), 3, 1.0f, y.view(), ws).code() == ErrorCode::invalid_argument);
  CHECK(cache.attend(q.view(), -1, 1.0f, y.view(), ws).code() == ErrorCode::invalid_argument);
  CHECK(std::string(cache.attend(q.view(), 3, 1.0f, y.view(), ws).message()) ==
        "attention: rows at positions 3..4, the cache holds 4 tokens");
  CHECK(cache.attend(q.view().middle_columns(0, 24), 0, 1.0f, y.view(), ws).code() == ErrorCode::shape_mismatch);
  CHECK(cache.attend(q.view(), 0, 1.0f, y.view().middle_rows(0, 1), ws).code() == ErrorCode::shape_mismatch);
  CHECK(cache.attend(q.view(), 0, 1.0f, y.view().middle_columns(0, 16), ws).code() == ErrorCode::shape_mismatch);
  CHECK(cache.attend(q.view(), 2, 1.0f, y.view(), Workspace{}).code() == ErrorCode::invalid_argument);
  CHECK(cache.attend(q.middle(0, 0), 4, 1.0f, y.view().middle_rows(0, 0), ws).ok());
  CHECK(cache.attend(q.middle(0, 0), 4, 1.0f, y.view(), ws).code() == ErrorCode::shape_mismatch);
  CHECK(cache.attend(q.view(), 2, 1.0f, y.view().middle_rows(0, 0), ws).code() == ErrorCode::shape_mismatch);
}

TEST_CASE("a cache made by nobody holds nothing") {
  KvCache cache;
  const Rows k(1, 16, 1);
  Rows y(1, 16);
  std::vector<std::byte> memory(cache.workspace_size(1, 1, 4));
  CHECK(!cache.append(k.view(), k.view()).ok());
  CHECK(!cache.attend(k.view(), 0, 1.0f, y.view(), Workspace(memory)).ok());
  CHECK(cache.size_bytes() == 0);
  CHECK(cache.clone().has_value());
}

TEST_CASE("NaN and infinity are reported by token and head, and reach exactly those who see them") {
  for (const float bad : bad_numbers)
    for (const int bits : {16, 4})
      for (const bool in_key : {true, false}) {
        INFO("value ", bad, ", bits ", bits, in_key ? ", key" : ", value");
        KvCache cache =
            make_cache({.kv_heads = 2, .head_size = 24, .capacity = 140, .key_bits = bits, .value_bits = bits});
        Rows k(140, 48, 1), v(140, 48, 2);
        const Rows q(140, 96, 3);
        (in_key ? k : v).view()(70, 24 + 5) = bad;
        const Status status = cache.append(k.view(), v.view());
        CHECK(status.code() == ErrorCode::not_finite);
        CHECK(std::string(status.message()) == std::string("KV cache: the ") + (in_key ? "key" : "value") +
                                                   " of token 70, head 1 holds NaN or infinity");
        CHECK(cache.tokens() == 140);
        Rows y(140, 96);
        const Status attended = attend(cache, q.view(), 0, 0.2f, y.view());
        CHECK(attended.code() == ErrorCode::not_finite);
        bool as_promised = true;
        for (index t = 0; t < 140; ++t)
          for (index c = 0; c < 96; ++c)
            as_promised = as_promised && is_finite(y.view()(t, c)) == !(t >= 70 && c >= 48);
        CHECK(as_promised);
        CHECK(same(y, attend_reference(cache, q, 0, 0.2f)));

        cache.truncate(70);
        REQUIRE(cache.append(v.middle(0, 70), k.middle(0, 70)).ok());
        CHECK(attend(cache, q.view(), 0, 0.2f, y.view()).ok());
      }
}

TEST_CASE("a query with NaN spoils its own row only") {
  KvCache cache = make_cache({.kv_heads = 1, .head_size = 16, .capacity = 100});
  const Rows k(100, 16, 1);
  Rows q(100, 32, 2), y(100, 32);
  q.view()(40, 20) = bad_numbers[0];
  REQUIRE(cache.append(k.view(), k.view()).ok());
  CHECK(attend(cache, q.view(), 0, 0.25f, y.view()).code() == ErrorCode::not_finite);
  bool as_promised = true;
  for (index t = 0; t < 100; ++t)
    for (index c = 0; c < 32; ++c) as_promised = as_promised && is_finite(y.view()(t, c)) == !(t == 40 && c >= 16);
  CHECK(as_promised);
}

TEST_CASE("as many lines are reported as come out not finite, by every backend and precision") {
  using Precision = AttentionPrecision;
  for (const Precision precision : {Precision::floats, Precision::q8p8, Precision::q8p8_simulated})
    for (const int bits : {16, 4})
      for (const float bad : bad_numbers) {
        INFO("precision ", static_cast<int>(precision), ", bits ", bits, ", value ", bad);
        const index tokens = 70, group = 3, size = 16;
        KvCache cache = make_cache({.kv_heads = 1,
                                    .head_size = size,
                                    .capacity = tokens,
                                    .key_bits = bits,
                                    .value_bits = bits,
                                    .precision = precision});
        const Rows k(tokens, size, 1);
        REQUIRE(cache.append(k.view(), k.view()).ok());
        Rows q(10, group * size, 2), y(10, group * size), expected(10, group * size);
        q.view()(2, size + 3) = bad;
        q.view()(7, 0) = bad;
        std::vector<std::byte> memory(cache.workspace_size(10, group, 1));
        for (const bool reference : {false, true}) {
          const Workspace ws(memory);
          const Status status = reference ? cache.attend(q.view(), 60, 0.25f, expected.view(), ws, {}, Reference{})
                                          : cache.attend(q.view(), 60, 0.25f, y.view(), ws);
          CHECK(status.code() == ErrorCode::not_finite);
          CHECK(std::string(status.message()) == "attention: 2 of 30 outputs (rows x query heads) are NaN or infinite");
        }
        CHECK(same(y, expected));
        index as_promised = 0;
        for (index r = 0; r < 10; ++r)
          for (index c = 0; c < group * size; ++c)
            as_promised += is_finite(y.view()(r, c)) == !((r == 2 && c / size == 1) || (r == 7 && c / size == 0));
        CHECK(as_promised == 10 * group * size);
      }
}

}  // namespace planish::test
