// What attention does with its scratch memory: whatever lies in it is no part of the result, and a few lines meet codes
// where they are instead of spreading a page there first.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/kernels/cpu/attend.hpp>
#include <planish/kernels/reference/attend.hpp>
#include <planish/kv_cache/kv_cache.hpp>

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using pl::AttentionPrecision;
using pl::index;  // inside a namespace: the C library has a function of this name

constexpr AttentionPrecision precisions[] = {AttentionPrecision::floats, AttentionPrecision::q8p8,
                                             AttentionPrecision::q8p8_simulated};

std::vector<float> floats(index count, std::uint64_t seed) {
  pl::Random random(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

pl::KvCache filled(index head_size, index tokens, int bits, index prefix, AttentionPrecision precision) {
  auto cache = pl::KvCache::make({.kv_heads = 1,
                                  .head_size = head_size,
                                  .capacity = tokens,
                                  .key_bits = bits,
                                  .value_bits = bits,
                                  .prefix_tokens = prefix,
                                  .precision = precision});
  REQUIRE(cache.has_value());
  const std::vector<float> k = floats(tokens * head_size, 1), v = floats(tokens * head_size, 2);
  REQUIRE(cache->append({k.data(), tokens, head_size}, {v.data(), tokens, head_size}).ok());
  return *std::move(cache);
}

/// The last `rows` tokens of the cache, `group` query heads.
pl::Attention attention(const pl::KvCache& cache, const std::vector<float>& query, std::vector<float>& output,
                        index rows, index group) {
  pl::Attention a;
  a.keys = cache.keys(), a.values = cache.values();
  a.query = {query.data(), rows, group * cache.options().head_size};
  a.output = {output.data(), rows, group * cache.options().head_size};
  a.group = group;
  a.first_position = cache.tokens() - rows;
  a.query_scale = 0.3f;
  a.precision = cache.options().precision;
  return a;
}

TEST_CASE("what lies in the scratch of attention is no part of its result, whichever lines are asked for") {
  for (const AttentionPrecision precision : precisions)
    for (const int bits : {3, 8, 16})
      for (const index prefix : {0, 70})
        for (const index rows : {1, 3, 9}) {
          const index head_size = 24, group = 3, tokens = 200, lines = rows * group;
          INFO("precision ", static_cast<int>(precision), ", bits ", bits, ", prefix ", prefix, ", rows ", rows);
          const pl::KvCache cache = filled(head_size, tokens, bits, prefix, precision);
          const std::vector<float> query = floats(lines * head_size, 3);
          std::vector<float> output(query.size()), expected(query.size());
          const pl::Attention a = attention(cache, query, output, rows, group);
          CHECK(pl::kernels::reference::attend(attention(cache, query, expected, rows, group), 0, {0, lines}, {}) == 0);
          std::vector<std::byte> scratch(cpu::attend_scratch_bytes(a, lines));
          for (const index step : {index{1}, index{2}, index{7}, lines}) {
            std::fill(output.begin(), output.end(), -1.0f);
            for (index line = 0; line < lines; line += step) {
              std::fill(scratch.begin(), scratch.end(), std::byte{0xff});  // NaN, and counts far below 0
              CHECK(cpu::attend(a, 0, {line, std::min(line + step, lines)}, scratch) == 0);
            }
            CHECK(output == expected);
          }
        }
}

TEST_CASE("a few lines meet the codes of a page where they are, more find them spread into scratch") {
  const index head_size = 80, tokens = 130;
  for (const AttentionPrecision precision : precisions)
    for (const int bits : {2, 4, 8})
      for (index lines = 1; lines <= 2 * cpu::tile_lines + 1; ++lines) {
        INFO("precision ", static_cast<int>(precision), ", bits ", bits, ", lines ", lines);
        const pl::KvCache cache = filled(head_size, tokens, bits, 0, precision);
        const std::vector<float> query = floats(lines * head_size, 3);
        std::vector<float> output(query.size());
        const pl::Attention a = attention(cache, query, output, 1, lines);
        constexpr std::byte untouched{0xa5};
        std::vector<std::byte> scratch(cpu::attend_scratch_bytes(a, lines), untouched);
        CHECK(cpu::attend(a, 0, {0, lines}, scratch) == 0);
        const auto longest_untouched = [&] {
          index longest = 0, now = 0;
          for (const std::byte byte : scratch) longest = std::max(longest, now = byte == untouched ? now + 1 : 0);
          return longest;
        };
        const index room = 4 * (cpu::spread_key_floats(a.keys) + cpu::spread_value_floats(a.values));
        // codes of a byte each are read in place by integer products however many lines there are
        const bool integers = cpu::attends_in_integers && precision == AttentionPrecision::q8p8;
        const bool in_place = (cpu::attends_to_codes && lines <= cpu::tile_lines) || (integers && bits == 8);
        // as bytes, in a quarter of the room
        const bool all_free = longest_untouched() >= room - 64;
        CHECK(all_free == in_place);
      }
}

TEST_CASE("values of a page are spread only as far as the sequence goes") {
  const index head_size = 80, lines = cpu::tile_lines + 1;
  for (const index prefix : {0, 64})  // floats of a whole page are read in place
    for (const index tokens : {1, 8, 20, 33}) {
      INFO("prefix ", prefix, ", tokens behind it ", tokens);
      const pl::KvCache cache = filled(head_size, prefix + tokens, 4, prefix, AttentionPrecision::floats);
      const std::vector<float> query = floats(lines * head_size, 3);
      std::vector<float> output(query.size());
      const pl::Attention a = attention(cache, query, output, 1, lines);
      constexpr std::byte untouched{0xa5};
      std::vector<std::byte> scratch(cpu::attend_scratch_bytes(a, lines), untouched);
      CHECK(cpu::attend(a, 0, {0, lines}, scratch) == 0);
      index longest = 0, now = 0;
      for (const std::byte byte : scratch) longest = std::max(longest, now = byte == untouched ? now + 1 : 0);
      const index steps = pl::line_steps(4), spread = (tokens + steps - 1) / steps * steps;
      CHECK(longest >= 4 * (pl::page_tokens - spread) * pl::value_stride(head_size));
    }
}

}  // namespace
