// The streaming softmax of some lines over some pages, and the weights in 8 bits, against the same sums written one
// number at a time: whatever mixture of floats and codes the pages hold.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/kernels/cpu/weight_codes.hpp>
#include <planish/kernels/reference/attend.hpp>

#include "guarded_memory.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;
namespace reference = planish::kernels::reference;

namespace {

using guarded::Buffer;
using guarded::Edge;
using pl::index;  // inside a namespace: the C library has a function of this name
using pl::page_tokens;

constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();

bool alike(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

/// Scales and zero points as `load_scales` leaves them.
cpu::PageScales random_scales(index float_tokens, index count, pl::Random& random) {
  cpu::PageScales scales;
  scales.float_tokens = float_tokens;
  scales.has_codes = float_tokens < count;
  for (index t = 0; t < page_tokens; ++t) {
    const bool is_code = t >= float_tokens && t < count;
    scales.scale[t] = is_code ? 0.01f + static_cast<float>(random.uniform()) : t < float_tokens ? 1.0f : 0.0f;
    scales.zero[t] = is_code ? static_cast<float>(random.below(17)) - 8.0f : 0.0f;
    if (!scales.has_codes) scales.scale[t] = scales.zero[t] = nan;  // not to be read
  }
  return scales;
}

/// One line's state and weights, one number at a time.
struct Line {
  float maximum, sum;
  float weight[page_tokens], decay;
};
void soften_one(Line& line, const float* dots, index count, float query_sum, const float* query_scale,
                const cpu::PagePairScales& scales) {
  const auto times = [](float a, float b) { return pl::multiply_add(a, b, 0.0f); };
  float highest = line.maximum;
  std::fill_n(line.weight, page_tokens, 0.0f);
  for (index t = 0; t < count; ++t) {
    const bool is_code = scales.keys.has_codes && t >= scales.keys.float_tokens;
    float score = is_code ? pl::multiply_add(-scales.keys.zero[t], query_sum, dots[t]) : dots[t];
    if (query_scale != nullptr) score = times(score, *query_scale);
    if (is_code) score = times(score, scales.keys.scale[t]);
    line.weight[t] = score;
    highest = std::max(highest, score);
  }
  for (index t = 0; t < count; ++t) line.weight[t] = reference::power_of_two(line.weight[t] - highest);
  line.decay = reference::power_of_two(line.maximum - highest);
  line.maximum = highest;
  line.sum = pl::multiply_add(line.sum, line.decay, reference::page_sum(line.weight));
  for (index t = 0; t < count && scales.values.has_codes; ++t)
    line.weight[t] = times(line.weight[t], scales.values.scale[t]);
}
float correction_of(const float* weight, const cpu::PageScales& values) {
  return values.has_codes ? reference::page_dot(weight, values.zero) : 0.0f;
}

/// A call of soften, and what follows it.
void check_softened(index lines, index pages, bool integer_query, Edge edge, pl::Random& random) {
  const index places = lines * pages;
  const auto page = std::make_unique<cpu::PageWeights>();
  std::vector<cpu::PagePairScales> scales(static_cast<std::size_t>(pages));
  const Buffer<float> query_sum(lines, edge), query_scale(lines, edge), maximum(lines, edge), sum(lines, edge);
  std::vector<Line> states(static_cast<std::size_t>(lines));
  for (index l = 0; l < lines; ++l) {
    Line& line = states[static_cast<std::size_t>(l)];
    line.maximum = maximum.data()[l] = random.below(3) == 0 ? -infinity : static_cast<float>(random.normal());
    line.sum = sum.data()[l] = line.maximum == -infinity ? 0.0f : static_cast<float>(1.0 + random.uniform());
    query_sum.data()[l] = static_cast<float>(random.normal());
    query_scale.data()[l] = 0.1f + static_cast<float>(random.uniform());
  }
  const auto floats = [&] {
    constexpr index some[] = {0, 0, 5, 16, 40, page_tokens};
    return some[random.below(std::size(some))];
  };
  for (index p = 0; p < pages; ++p) {
    index count = 1 + static_cast<index>(random.below(page_tokens));
    if (random.below(2) == 0) count = page_tokens;
    index seen = count;
    for (index l = lines - 1; l >= 0; --l) {  // the last line sees most
      page->count[p * lines + l] = seen;
      seen = std::max<index>(1, seen - static_cast<index>(random.below(4)));
    }
    cpu::PagePairScales& both = scales[static_cast<std::size_t>(p)];
    both.keys = random_scales(floats(), count, random), both.values = random_scales(floats(), count, random);
    // what only the last line sees
    if (both.values.has_codes && both.values.float_tokens < count && random.below(4) == 0)
      both.values.scale[count - 1] = nan;
  }
  for (float& weight : page->weight) weight = static_cast<float>(random.normal());
  for (std::uint8_t& code : page->code) code = 99;
  const cpu::PageWeights before = *page;

  cpu::soften(*page, lines, pages,
              {query_sum.data(), integer_query ? query_scale.data() : nullptr, maximum.data(), sum.data()},
              scales.data());
  cpu::correct_weights(*page, lines, pages, scales.data());
  const cpu::PageWeights softened = *page;
  cpu::quantize_weights(*page, lines, pages, scales.data());

  index wrong = 0, wrong_codes = 0;
  for (index p = 0; p < pages; ++p)
    for (index l = 0; l < lines; ++l) {
      const index place = p * lines + l;
      const cpu::PagePairScales& both = scales[static_cast<std::size_t>(p)];
      Line& line = states[static_cast<std::size_t>(l)];
      soften_one(line, before.weight + place * page_tokens, before.count[place], query_sum.data()[l],
                 integer_query ? query_scale.data() + l : nullptr, both);
      for (index t = 0; t < page_tokens; ++t) wrong += !alike(softened.weight[place * page_tokens + t], line.weight[t]);
      wrong += !alike(softened.decay[place], line.decay);
      wrong += !alike(softened.correction[place], correction_of(line.weight, both.values));

      float coded[page_tokens];
      std::copy_n(line.weight, page_tokens, coded);
      const float scale = reference::quantize_weights(coded);
      for (index t = 0; t < page_tokens; ++t) {
        wrong_codes += page->weight[place * page_tokens + t] != coded[t];
        wrong_codes += static_cast<float>(page->code[place * page_tokens + t]) != coded[t];
      }
      wrong_codes += !alike(page->scale[place], scale);
      wrong_codes += page->code_sum[place] != reference::page_sum(coded);
      wrong_codes += !alike(page->correction[place], correction_of(coded, both.values));
    }
  for (index l = 0; l < lines; ++l)
    wrong += !alike(maximum.data()[l], states[static_cast<std::size_t>(l)].maximum) ||
             !alike(sum.data()[l], states[static_cast<std::size_t>(l)].sum);
  CHECK(wrong == 0);
  CHECK(wrong_codes == 0);
  // nothing but the places that were asked for
  CHECK(std::equal(before.weight + places * page_tokens, std::end(before.weight), page->weight + places * page_tokens));
  CHECK(std::equal(before.code + places * page_tokens, std::end(before.code), page->code + places * page_tokens));
  CHECK(std::equal(std::begin(before.count), std::end(before.count), std::begin(page->count)));
}

TEST_CASE("softmax and weights in 8 bits, of any lines over any pages") {
  pl::Random random(5);
  for (const Edge edge : guarded::edges)
    for (const bool integer_query : {false, true})
      for (index lines = 1; lines <= cpu::softened_lines; ++lines)
        for (index pages = 1; pages <= cpu::most_pages_together && pages * lines <= cpu::softened_lines; ++pages)
          for (int trial = 0; trial < 8; ++trial) {
            INFO("lines ", lines, ", pages ", pages, ", integer query ", integer_query, ", trial ", trial);
            check_softened(lines, pages, integer_query, edge, random);
          }
}

TEST_CASE("weights whose scale would be below the least have a scale of 1, the least itself stands") {
  constexpr float edge = 255.0f * pl::least_scale;
  cpu::PagePairScales scales{};  // floats alone: no corrections
  for (const float highest :
       {0.0f, pl::least_scale, std::nextafter(edge, 0.0f), edge, std::nextafter(edge, 1.0f), 1.0f}) {
    INFO("highest weight ", highest);
    const bool below = highest / 255.0f < 0x1p-126f;
    for (const index lines : {1, 5, 12}) {
      const auto page = std::make_unique<cpu::PageWeights>();
      for (index place = 0; place < lines; ++place)
        for (index t = 0; t < page_tokens; ++t)
          page->weight[place * page_tokens + t] = t == 7 ? highest : highest / static_cast<float>(t + 2);
      float one[page_tokens];
      std::copy_n(page->weight, page_tokens, one);
      const float scale = reference::quantize_weights(one);
      cpu::quantize_weights(*page, lines, 1, &scales);
      CHECK(scale == (below ? 1.0f : highest / 255.0f));
      CHECK(one[7] == (below ? 0.0f : 255.0f));
      index wrong = 0;
      for (index place = 0; place < lines; ++place) {
        wrong += page->scale[place] != scale || page->correction[place] != 0.0f;
        for (index t = 0; t < page_tokens; ++t) wrong += page->weight[place * page_tokens + t] != one[t];
      }
      CHECK(wrong == 0);
    }
  }
}

}  // namespace
