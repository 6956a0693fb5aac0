#include <algorithm>
#include <vector>

#include "support.hpp"

namespace planish::test {

namespace {

constexpr index heads = 2, longest = 64 * 11 + 5;

KvCache filled(index head_size, int bits, index prefix, AttentionPrecision precision) {
  KvCache cache = make_cache({.kv_heads = heads,
                              .head_size = head_size,
                              .capacity = longest,
                              .key_bits = bits,
                              .value_bits = bits,
                              .prefix_tokens = prefix,
                              .precision = precision});
  const Rows k(longest, heads * head_size, 1, 1.5f), v(longest, heads * head_size, 2);
  REQUIRE(cache.append(k.view(), v.view()).ok());
  return cache;
}

}  // namespace

TEST_CASE("few lines take several pages at once: the reference's bits, wherever the sequence ends") {
  for (const AttentionPrecision precision :
       {AttentionPrecision::floats, AttentionPrecision::q8p8, AttentionPrecision::q8p8_simulated})
    for (const int bits : {2, 4, 8})
      for (const index prefix : {0, 64, 201}) {
        const index head_size = 40;
        const KvCache cache = filled(head_size, bits, prefix, precision);
        for (const index group : {1, 2, 3, 5, 7})
          for (const index rows : {1, 2, 4})
            for (const index tokens : {64 * 3, 64 * 4 + 1, 64 * 5 - 1, 64 * 9, 64 * 9 + 2, 64 * 11 + 5}) {
              INFO("precision ", static_cast<int>(precision), ", bits ", bits, ", prefix ", prefix, ", group ", group,
                   ", rows ", rows, ", tokens ", tokens);
              const Rows q(rows, heads * group * head_size, static_cast<std::uint64_t>(tokens), 2.0f);
              Rows y(rows, q.columns);
              CHECK(attend(cache, q.view(), tokens - rows, 0.3f, y.view()).ok());
              CHECK(same(y, attend_reference(cache, q, tokens - rows, 0.3f)));
            }
      }
}

TEST_CASE("a page table may have floats on any page: they end a run of pages, and come out right") {
  const index head_size = 40, tokens = longest;
  for (const AttentionPrecision precision : {AttentionPrecision::floats, AttentionPrecision::q8p8}) {
    const KvCache codes = filled(head_size, 4, 0, precision), floats = filled(head_size, 16, 0, precision);
    const index pages = (tokens + page_tokens - 1) / page_tokens;
    const auto table_of = [&](const KvPages& coded, const KvPages& kept) {
      std::vector<KvPage> table;
      for (index head = 0; head < heads; ++head)
        for (index p = 0; p < pages; ++p) {
          KvPage page = coded.page(head, p);
          if (p % 5 == 2) page.values = kept.page(head, p).values, page.float_tokens = p == 2 ? page_tokens : 17;
          table.push_back(page);
        }
      return table;
    };
    const std::vector<KvPage> key_table = table_of(codes.keys(), floats.keys()),
                              value_table = table_of(codes.values(), floats.values());
    KvPages keys = codes.keys(), values = codes.values();
    keys.table = key_table.data();
    values.table = value_table.data();
    keys.pages_per_head = values.pages_per_head = pages;
    const Rows q(1, heads * 3 * head_size, 7, 2.0f);
    Rows y(1, q.columns), expected(1, q.columns);
    const auto attention = [&](Rows& to) {
      return Attention{keys, values, q.view(), to.view(), 3, tokens - 1, 0.3f, precision};
    };
    std::vector<std::byte> scratch(planish::attend_scratch_bytes(Cpu{}, attention(y), 3) + 64);
    for (index head = 0; head < heads; ++head) {
      CHECK(planish::attend(Cpu{}, attention(y), head, {0, 3}, scratch) == 0);
      CHECK(planish::attend(Reference{}, attention(expected), head, {0, 3}, {}) == 0);
    }
    CHECK(same(y, expected));
  }
}

TEST_CASE("no lines at all") {
  const KvCache cache = filled(40, 4, 0, AttentionPrecision::floats);
  Rows q(1, heads * 40, 1), y(1, heads * 40);
  const Attention a{cache.keys(), cache.values(), q.view(), y.view(), 1, 100, 0.3f, AttentionPrecision::floats};
  std::vector<std::byte> scratch(planish::attend_scratch_bytes(Cpu{}, a, 1) + 64);
  CHECK(planish::attend(Cpu{}, a, 0, {0, 0}, scratch) == 0);
}

}  // namespace planish::test
