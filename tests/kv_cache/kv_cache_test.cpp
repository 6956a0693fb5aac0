#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>

#include "support.hpp"

namespace planish::test {

namespace {

struct Shape {
  index kv_heads, group, head_size, tokens;
};

// Every awkward head size, group and length at least once.
constexpr Shape shapes[] = {{1, 1, 1, 5},    {2, 3, 7, 65},   {1, 4, 63, 64},  {3, 3, 64, 200}, {2, 1, 65, 130},
                            {1, 7, 80, 129}, {1, 2, 128, 70}, {1, 8, 256, 66}, {1, 1, 33, 1}};

struct Width {
  int key_bits, value_bits;
  index prefix;
};
constexpr Width widths[] = {{16, 16, 0}, {8, 8, 0}, {4, 4, 0},  {4, 4, 3},  {3, 2, 0},   {2, 3, 70},
                            {6, 5, 64},  {7, 4, 0}, {16, 4, 0}, {2, 16, 1}, {4, 4, 1000}};

KvCacheOptions options(const Shape& s, const Width& w) {
  return {.kv_heads = s.kv_heads,
          .head_size = s.head_size,
          .capacity = s.tokens + 3,
          .key_bits = w.key_bits,
          .value_bits = w.value_bits,
          .prefix_tokens = w.prefix};
}

float softmax_scale(const Shape& s) { return 1.0f / std::sqrt(static_cast<float>(s.head_size)); }

/// softmax(q kᵀ · scale) v in float64, straight from the definition.
Rows naive(const Shape& s, const Rows& q, const Rows& k, const Rows& v, index first_position) {
  Rows y(q.rows, q.columns);
  for (index r = 0; r < q.rows; ++r)
    for (index h = 0; h < s.kv_heads * s.group; ++h) {
      const index column = h / s.group * s.head_size, out = h * s.head_size, visible = first_position + r + 1;
      std::vector<double> p(static_cast<std::size_t>(visible));
      double highest = -1e300, sum = 0;
      for (index t = 0; t < visible; ++t) {
        double score = 0;
        for (index i = 0; i < s.head_size; ++i)
          score += static_cast<double>(q.view()(r, out + i)) * static_cast<double>(k.view()(t, column + i));
        p[static_cast<std::size_t>(t)] = score / std::sqrt(static_cast<double>(s.head_size));
        highest = std::max(highest, p[static_cast<std::size_t>(t)]);
      }
      for (double& x : p) sum += x = std::exp(x - highest);
      for (index i = 0; i < s.head_size; ++i) {
        double total = 0;
        for (index t = 0; t < visible; ++t)
          total += p[static_cast<std::size_t>(t)] * static_cast<double>(v.view()(t, column + i));
        y.view()(r, out + i) = static_cast<float>(total / sum);
      }
    }
  return y;
}

/// Quantizes and dequantizes every token × head but the first `prefix` tokens, with nothing but core's formula.
Rows fake_quantized(const Rows& x, index head_size, int bits, ClipPair clip, index prefix) {
  Rows y = x;
  for (index t = prefix; bits != 16 && t < x.rows; ++t)
    for (index column = 0; column < x.columns; column += head_size) {
      ValueRange range;
      for (index i = 0; i < head_size; ++i) {
        range.lowest = std::min(range.lowest, x.view()(t, column + i));
        range.highest = std::max(range.highest, x.view()(t, column + i));
      }
      const Affine affine = asymmetric_affine(range, clip, bits);
      for (index i = 0; i < head_size; ++i) {
        const int code = to_code(x.view()(t, column + i), affine, code_range(bits, Symmetry::asymmetric));
        y.view()(t, column + i) = to_value(code, affine);
      }
    }
  return y;
}

/// Largest |y − expected| / (1 + |expected|).
float largest_difference(const Rows& y, const Rows& expected) {
  float worst = 0;
  for (std::size_t i = 0; i < y.data.size(); ++i) {
    const float difference = std::abs(y.data[i] - expected.data[i]) / (1.0f + std::abs(expected.data[i]));
    if (!(difference <= worst)) worst = difference;  // NaN too
  }
  return worst;
}

}  // namespace

TEST_CASE("attention over a float cache is softmax(q k) v") {
  for (const Shape& s : shapes) {
    const std::uint64_t seed = 11 + static_cast<std::uint64_t>(s.head_size);
    INFO("seed ", seed, ", head size ", s.head_size, ", group ", s.group);
    const Rows k(s.tokens, s.kv_heads * s.head_size, seed), v(s.tokens, s.kv_heads * s.head_size, seed + 1);
    const Rows q(s.tokens, s.kv_heads * s.group * s.head_size, seed + 2, 2.0f);
    KvCache cache = make_cache(options(s, {16, 16, 0}));
    CHECK(cache.append(k.view(), v.view()).ok());
    CHECK(cache.tokens() == s.tokens);
    Rows y(q.rows, q.columns);
    CHECK(attend(cache, q.view(), 0, softmax_scale(s), y.view()).ok());
    const Rows expected = naive(s, q, k, v, 0);
    CHECK(largest_difference(y, expected) < 1e-5f);
  }
}

TEST_CASE("a quantized cache attends to the fake-quantized keys and values, on both backends to the same bit") {
  for (const Shape& s : shapes)
    for (const Width& w : widths) {
      const std::uint64_t seed = 100 * static_cast<std::uint64_t>(w.key_bits) + static_cast<std::uint64_t>(s.head_size);
      INFO("seed ", seed, ", head size ", s.head_size, ", group ", s.group, ", tokens ", s.tokens, ", key bits ",
           w.key_bits, ", value bits ", w.value_bits, ", prefix ", w.prefix);
      Rows k(s.tokens, s.kv_heads * s.head_size, seed), v(s.tokens, s.kv_heads * s.head_size, seed + 1);
      for (index i = 0; i < s.head_size; ++i) k.view()(s.tokens / 2, i) = 0.0f;  // a range of zero
      const index rows = std::min<index>(s.tokens, 9), first = s.tokens - rows;
      const Rows q(rows, s.kv_heads * s.group * s.head_size, seed + 2, 2.0f);
      KvCacheOptions o = options(s, w);
      o.key_clip = {0.9f, 0.8f};
      o.value_clip = {0.7f, 1.0f};
      KvCache cache = make_cache(o);
      REQUIRE(cache.append(k.view(), v.view()).ok());
      Rows y(q.rows, q.columns);
      CHECK(attend(cache, q.view(), first, softmax_scale(s), y.view()).ok());
      CHECK(same(y, attend_reference(cache, q, first, softmax_scale(s))));

      // Scales and zero points are applied to sums, so against sums of dequantized values only roundings differ.
      KvCache floats = make_cache(options(s, {16, 16, 0}));
      REQUIRE(floats
                  .append(fake_quantized(k, s.head_size, w.key_bits, o.key_clip, w.prefix).view(),
                          fake_quantized(v, s.head_size, w.value_bits, o.value_clip, w.prefix).view())
                  .ok());
      Rows expected(q.rows, q.columns);
      CHECK(attend(floats, q.view(), first, softmax_scale(s), expected.view()).ok());
      CHECK(largest_difference(y, expected) < 2e-5f);
    }
}

TEST_CASE("append writes the bytes that the reference writes") {
  for (const Shape& s : shapes)
    for (const Width& w : widths) {
      const std::uint64_t seed = 31 + static_cast<std::uint64_t>(s.head_size);
      INFO("seed ", seed, ", head size ", s.head_size, ", key bits ", w.key_bits, ", value bits ", w.value_bits);
      Rows k(s.tokens, s.kv_heads * s.head_size, seed), v(s.tokens, s.kv_heads * s.head_size, seed + 1);
      k.view()(0, s.head_size / 2) = std::numeric_limits<float>::infinity();
      v.view()(s.tokens - 1, 0) = std::numeric_limits<float>::quiet_NaN();
      for (index i = 0; i < s.head_size; ++i)  // exact ties between codes
        v.view()(s.tokens / 2, i) = static_cast<float>(i % 31) * 0.5f - 4.0f;
      for (index i = 0; i < k.view().columns(); ++i) {  // scales whose reciprocals lose digits
        k.view()(s.tokens - 1, i) *= 0x1p100f;
        k.view()(s.tokens / 2, i) *= 0x1p-100f;
      }
      KvCacheOptions o = options(s, w);
      o.key_clip = {0.6f, 0.9f};
      KvCache cache = make_cache(o), expected = make_cache(o);
      CHECK(cache.append(k.view(), v.view()).code() == ErrorCode::not_finite);
      CHECK(expected.append(k.view(), v.view(), Reference{}).code() == ErrorCode::not_finite);
      const auto same_bytes = [](const auto* a, const auto* b, index count) {
        const auto bytes = [](const auto* data) { return reinterpret_cast<const char*>(data); };
        return std::equal(bytes(a), bytes(a + count), bytes(b));
      };
      const auto equal = [&](const KvPages& a, const KvPages& b) {
        const index pages = a.bits == 16 ? 0 : s.kv_heads * a.pages_per_head;
        return same_bytes(a.codes, b.codes, pages * a.code_page_size) &&
               same_bytes(a.scales, b.scales, pages * page_tokens) &&
               same_bytes(a.zero_points, b.zero_points, pages * page_tokens) &&
               same_bytes(a.values, b.values, s.kv_heads * a.float_pages_per_head * a.float_page_size);
      };
      CHECK(equal(cache.keys(), expected.keys()));
      CHECK(equal(cache.values(), expected.values()));
    }
}

TEST_CASE("a row's result does not depend on how the prompt was cut") {
  for (const Shape& s : shapes)
    for (const Width& w : {Width{16, 16, 0}, Width{4, 4, 2}, Width{3, 8, 0}}) {
      const std::uint64_t seed = 7 + static_cast<std::uint64_t>(s.head_size);
      INFO("seed ", seed, ", head size ", s.head_size, ", group ", s.group, ", key bits ", w.key_bits);
      const Rows k(s.tokens, s.kv_heads * s.head_size, seed), v(s.tokens, s.kv_heads * s.head_size, seed + 1);
      const Rows q(s.tokens, s.kv_heads * s.group * s.head_size, seed + 2, 2.0f);
      KvCache whole = make_cache(options(s, w));
      REQUIRE(whole.append(k.view(), v.view()).ok());
      Rows prefill(q.rows, q.columns);
      REQUIRE(attend(whole, q.view(), 0, softmax_scale(s), prefill.view()).ok());
      Random random(seed);
      for (const std::uint64_t longest : {std::uint64_t{1}, std::uint64_t{90}}) {
        KvCache cache = make_cache(options(s, w));
        Rows y(q.rows, q.columns);
        for (index first = 0; first < s.tokens;) {
          const index count = std::min(s.tokens - first, 1 + static_cast<index>(random.below(longest)));
          REQUIRE(cache.append(k.middle(first, count), v.middle(first, count)).ok());
          REQUIRE(
              attend(cache, q.middle(first, count), first, softmax_scale(s), y.view().middle_rows(first, count)).ok());
          first += count;
        }
        CHECK(same(y, prefill));
      }
    }
}

TEST_CASE("tokens appended after a truncation replace the old ones; a clone lives on") {
  const Shape s{2, 2, 40, 150};
  for (const Width& w : widths) {
    INFO("key bits ", w.key_bits, ", value bits ", w.value_bits, ", prefix ", w.prefix);
    const Rows k(s.tokens, 80, 1), v(s.tokens, 80, 2), other(s.tokens, 80, 3, 50.0f), q(3, 160, 4);
    KvCache straight = make_cache(options(s, w));
    REQUIRE(straight.append(k.view(), v.view()).ok());
    Rows expected(3, 160), y(3, 160);
    REQUIRE(attend(straight, q.view(), 147, softmax_scale(s), expected.view()).ok());

    KvCache cache = make_cache(options(s, w));
    REQUIRE(cache.append(k.middle(0, 67), v.middle(0, 67)).ok());
    REQUIRE(cache.append(other.middle(0, 80), other.middle(0, 80)).ok());
    cache.truncate(67);
    CHECK(cache.tokens() == 67);
    cache.truncate(1000);
    CHECK(cache.tokens() == 67);
    auto clone = cache.clone();
    REQUIRE(clone.has_value());
    REQUIRE(cache.append(other.middle(0, 10), other.middle(0, 10)).ok());
    REQUIRE(clone->append(k.middle(67, 83), v.middle(67, 83)).ok());
    CHECK(clone->tokens() == 150);
    REQUIRE(attend(*clone, q.view(), 147, softmax_scale(s), y.view()).ok());
    CHECK(same(y, expected));
    CHECK(clone->size_bytes() == cache.size_bytes());
  }
}

TEST_CASE("pages of a host's page table") {
  const Shape s{2, 3, 48, 300};
  for (const Width& w : widths) {
    INFO("key bits ", w.key_bits, ", value bits ", w.value_bits, ", prefix ", w.prefix);
    const Rows k(s.tokens, 96, 1), v(s.tokens, 96, 2), q(5, 288, 3);
    KvCache cache = make_cache(options(s, w));
    REQUIRE(cache.append(k.view(), v.view()).ok());
    Rows expected(5, 288), y(5, 288);
    REQUIRE(attend(cache, q.view(), 295, 0.2f, expected.view()).ok());

    // The same pages, reached through tables; the arrays are out of sight.
    const auto table_of = [&](const KvPages& pages) {
      std::vector<KvPage> table;
      for (index i = 0; i < s.kv_heads * pages.pages_per_head; ++i)
        table.push_back(pages.page(i / pages.pages_per_head, i % pages.pages_per_head));
      return table;
    };
    const auto with_table = [](const KvPages& pages, const std::vector<KvPage>& table) {
      KvPages host;
      host.head_size = pages.head_size;
      host.bits = pages.bits;
      host.pages_per_head = pages.pages_per_head;
      host.table = table.data();
      return host;
    };
    const std::vector<KvPage> keys = table_of(cache.keys()), values = table_of(cache.values());
    Attention a;
    a.keys = with_table(cache.keys(), keys);
    a.values = with_table(cache.values(), values);
    a.query = q.view();
    a.output = y.view();
    a.group = 3;
    a.first_position = 295;
    a.query_scale = 0.2f * std::numbers::log2e_v<float>;
    const index lines = attention_lines(a);
    std::vector<std::byte> scratch(attend_scratch_bytes(Cpu{}, a, lines));
    for (index head = 0; head < 2; ++head) CHECK(planish::attend(Cpu{}, a, head, {0, lines}, scratch) == 0);
    CHECK(same(y, expected));
  }
}

TEST_CASE("strided rows") {
  const Shape s{2, 3, 20, 70};
  const Rows k(40, s.tokens, 1), v(s.tokens, 100, 2), q(s.tokens, 250, 3);
  KvCache strided = make_cache(options(s, {4, 4, 0})), dense = make_cache(options(s, {4, 4, 0}));
  Rows kd(s.tokens, 40), vd(s.tokens, 40), qd(s.tokens, 120);
  for (index t = 0; t < s.tokens; ++t)
    for (index i = 0; i < 120; ++i) {
      if (i < 40) kd.view()(t, i) = k.view()(i, t);
      if (i < 40) vd.view()(t, i) = v.view()(t, 3 + 2 * i);
      qd.view()(t, i) = q.view()(t, 1 + 2 * i);
    }
  REQUIRE(strided.append(k.view().transposed(), {v.data.data() + 3, s.tokens, 40, 100, 2}).ok());
  REQUIRE(dense.append(kd.view(), vd.view()).ok());
  Rows y(s.tokens, 120), wide(120, s.tokens);
  REQUIRE(attend(dense, qd.view(), 0, 0.2f, y.view()).ok());
  REQUIRE(attend(strided, {q.data.data() + 1, s.tokens, 120, 250, 2}, 0, 0.2f, wide.view().transposed()).ok());
  bool equal = true;
  for (index t = 0; t < s.tokens; ++t)
    for (index i = 0; i < 120; ++i) equal = equal && y.view()(t, i) == wide.view()(i, t);
  CHECK(equal);
}

TEST_CASE("a cache takes as many bytes as its codes") {
  const auto bytes = [](int bits) {
    return make_cache({.kv_heads = 3, .head_size = 64, .capacity = 2048, .key_bits = bits, .value_bits = bits})
        .size_bytes();
  };
  const std::size_t vectors = 2 * 3 * 2048;
  CHECK(bytes(16) == vectors * 256);
  CHECK(bytes(8) == vectors * (64 + 5));
  CHECK(bytes(4) == vectors * (32 + 5));
  CHECK(bytes(3) == vectors * (32 + 5));
  CHECK(bytes(2) == vectors * (16 + 5));
}

}  // namespace planish::test
