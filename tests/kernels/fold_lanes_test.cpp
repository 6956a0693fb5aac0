// Sums and maxima of the lanes of several vectors at once.
#include <algorithm>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/kernels/cpu/isa/fold_lanes.hpp>

#include "guarded_memory.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using guarded::Buffer;
using guarded::Edge;
using pl::index;  // inside a namespace: the C library has a function of this name

struct Sum {
  float operator()(float a, float b) const { return a + b; }
  cpu::FloatBatch operator()(cpu::FloatBatch a, cpu::FloatBatch b) const { return a + b; }
};
struct Larger {
  float operator()(float a, float b) const { return std::max(a, b); }
  cpu::FloatBatch operator()(cpu::FloatBatch a, cpu::FloatBatch b) const { return xsimd::max(a, b); }
};

template <class Join>
void check_folds(const Join& join) {
  pl::Random random(1);
  for (index count = 0; count <= 13; ++count)
    for (const Edge edge : guarded::edges) {
      CAPTURE(count);
      const Buffer<float> lanes(16 * count, edge), to((count + 3) / 4 * 4, edge);
      for (float& value : lanes.span()) value = static_cast<float>(random.normal());
      std::vector<float> expected(lanes.span().begin(), lanes.span().end());
      cpu::fold_lanes(lanes.data(), count, to.data(), join);
      index wrong = 0;
      for (index i = 0; i < count; ++i) {
        float* const these = expected.data() + 16 * i;
        for (index half = 8; half > 0; half /= 2)
          for (index l = 0; l < half; ++l) these[l] = join(these[l], these[l + half]);
        wrong += std::memcmp(these, to.data() + i, sizeof(float)) == 0 ? 0 : 1;
      }
      CHECK(wrong == 0);
    }
}

TEST_CASE("sixteen floats each are added, the upper half to the lower one, and no others are read") {
  check_folds(Sum{});
}

TEST_CASE("of sixteen floats each the largest is found, and no others are read") { check_folds(Larger{}); }

}  // namespace
