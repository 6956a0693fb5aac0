// The logits of a whole model have the same bits whoever runs its tasks.
#include <cstring>

#include <doctest/doctest.h>

#include "fixtures.hpp"
#include "llama/host.hpp"
#include "llama/thread_pool.hpp"
#include "random_model.hpp"

namespace llama::test {
namespace {

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST_CASE("logits have the same bits on any number of threads, in prompts and token by token") {
  const auto source = std::make_shared<RandomModel>(7, RotaryPairs::halves);
  const std::vector<int> ids = random_ids(11, 37, source->config().vocabulary);
  for (const char* recipe :
       {"fp32", "w8a8", "w8a8s+hadamard", "w4a8g8", "w4a16", "w4a4kv4+shift+scale+hadamard", "w4a4kv4+kronecker+gptq",
        "w4a8kv4+q8p8", "w2a8k8v2+hadamard", "w4a4kv4+scale+kronecker+bf16"}) {
    CAPTURE(recipe);
    const Model model = model_of(source, recipe);
    for (planish::index piece : {planish::index{37}, planish::index{1}}) {
      CAPTURE(piece);
      ThreadPool alone(1);
      const std::vector<float> expected = logits_of(model, ids, piece, alone);
      for (int workers : {2, 3, 5}) {
        CAPTURE(workers);
        ThreadPool pool(workers);
        CHECK(same_bits(logits_of(model, ids, piece, pool), expected));
      }
    }
  }
}

TEST_CASE("the same on SmolLM2-135M, and of models built by one thread and by many") {
  if (default_model().empty()) {
    MESSAGE("skipped: no model");
    return;
  }
  ThreadPool alone(1), pool(3);
  const std::shared_ptr<const WeightSource> source = WeightSource::open(default_model());
  const std::vector<int> ids = random_ids(5, 33, source->config().vocabulary);
  for (const char* recipe : {"w4a8", "w4a4kv4+hadamard"}) {
    CAPTURE(recipe);
    const BuildOptions options{.recipe = require(parse_recipe(recipe))};
    const Model one = model_of(source, options, planish::SiteMode::packed, alone);
    const Model many = model_of(source, options, planish::SiteMode::packed, pool);
    CHECK(same_bits(logits_of(one, ids, 33, alone), logits_of(many, ids, 33, pool)));
  }
}

}  // namespace
}  // namespace llama::test
