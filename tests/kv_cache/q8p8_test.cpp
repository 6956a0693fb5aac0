#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "support.hpp"

namespace planish::test {

namespace {

KvCacheOptions options(index head_size, index tokens, int bits, index prefix, AttentionPrecision precision) {
  return {.kv_heads = 2,
          .head_size = head_size,
          .capacity = tokens,
          .key_bits = bits,
          .value_bits = bits == 6 ? 3 : bits,
          .prefix_tokens = prefix,
          .precision = precision};
}

}  // namespace

TEST_CASE("q8p8: integers, their reference and their simulation by floats agree to the bit") {
  for (const index head_size : {1, 7, 63, 64, 80, 128, 512})
    for (const int bits : {2, 3, 4, 6, 8, 16})
      for (const index prefix : {0, 3, 64, 70})
        for (const index rows : {1, 9}) {
          const index group = 1 + head_size % 4, tokens = 130 + rows;
          const auto seed = static_cast<std::uint64_t>(head_size * 31 + bits);
          INFO("seed ", seed, ", head size ", head_size, ", bits ", bits, ", prefix ", prefix, ", rows ", rows);
          const Rows k(tokens, 2 * head_size, seed), v(tokens, 2 * head_size, seed + 1);
          const Rows q(rows, 2 * head_size * group, seed + 2, 2.0f);
          Rows integers(rows, q.columns), simulated(rows, q.columns);
          for (Rows* y : {&integers, &simulated}) {
            KvCache cache =
                make_cache(options(head_size, tokens, bits, prefix,
                                   y == &integers ? AttentionPrecision::q8p8 : AttentionPrecision::q8p8_simulated));
            REQUIRE(cache.append(k.view(), v.view()).ok());
            CHECK(attend(cache, q.view(), tokens - rows, 0.2f, y->view()).ok());
            if (y == &integers) CHECK(same(*y, attend_reference(cache, q, tokens - rows, 0.2f)));
          }
          CHECK(same(integers, simulated));
        }
}

TEST_CASE("q8p8 is close to float queries and probabilities, and not the same") {
  for (const int bits : {4, 8}) {
    const index tokens = 300, head_size = 64;
    const Rows k(tokens, 2 * head_size, 1), v(tokens, 2 * head_size, 2), q(tokens, 6 * head_size, 3);
    Rows y(tokens, q.columns), floats(tokens, q.columns);
    for (const AttentionPrecision precision : {AttentionPrecision::q8p8, AttentionPrecision::floats}) {
      KvCache cache = make_cache(options(head_size, tokens, bits, 0, precision));
      REQUIRE(cache.append(k.view(), v.view()).ok());
      REQUIRE(attend(cache, q.view(), 0, 0.125f, (precision == AttentionPrecision::q8p8 ? y : floats).view()).ok());
    }
    double error = 0, size = 0;
    for (std::size_t i = 0; i < y.data.size(); ++i) {
      error += std::pow(static_cast<double>(y.data[i] - floats.data[i]), 2);
      size += std::pow(static_cast<double>(floats.data[i]), 2);
    }
    INFO("relative error ", std::sqrt(error / size));
    CHECK(std::sqrt(error / size) < 0.02);
    CHECK(error > 0);
  }
}

TEST_CASE("q8p8: a row does not depend on how the prompt was cut; NaN reaches those who see it") {
  const index tokens = 150, head_size = 40;
  const Rows k(tokens, 2 * head_size, 1);
  Rows v(tokens, 2 * head_size, 2);
  const Rows q(tokens, 6 * head_size, 3);
  v.view()(100, 3) = std::numeric_limits<float>::quiet_NaN();
  KvCache cache = make_cache(options(head_size, tokens, 4, 0, AttentionPrecision::q8p8));
  CHECK(cache.append(k.view(), v.view()).code() == ErrorCode::not_finite);
  Rows whole(tokens, q.columns), row(1, q.columns);
  CHECK(attend(cache, q.view(), 0, 0.2f, whole.view()).code() == ErrorCode::not_finite);
  CHECK(same(whole, attend_reference(cache, q, 0, 0.2f)));
  bool as_promised = true, equal = true;
  for (index t = 0; t < tokens; ++t) {
    (void)attend(cache, q.middle(t, 1), t, 0.2f, row.view());
    for (index c = 0; c < q.columns; ++c) {
      const float one = row.view()(0, c), other = whole.view()(t, c);
      equal = equal && (one == other || (std::isnan(one) && std::isnan(other)));
      as_promised = as_promised && std::isnan(other) == (t >= 100 && c < 3 * head_size);
    }
  }
  CHECK(equal);
  CHECK(as_promised);
}

TEST_CASE("q8p8 refuses heads whose sums would not be exact") {
  CHECK(KvCache::make(options(512, 4, 4, 0, AttentionPrecision::q8p8)).has_value());
  const Status status = KvCache::make(options(513, 4, 4, 0, AttentionPrecision::q8p8)).status();
  CHECK(status.code() == ErrorCode::invalid_argument);
  CHECK(std::string(status.message()).find("head_size is 513; q8p8 attention takes at most 512") != std::string::npos);
  CHECK(KvCache::make(options(513, 4, 4, 0, AttentionPrecision::floats)).has_value());
}

}  // namespace planish::test
