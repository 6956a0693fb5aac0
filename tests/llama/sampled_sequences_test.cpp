// Text drawn from a model to learn from: what a sequence depends on, and what the cache folder gives back.
#include "llama/sampled_sequences.hpp"

#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "fixtures.hpp"
#include "llama/host.hpp"
#include "llama/thread_pool.hpp"
#include "random_model.hpp"

namespace llama::test {
namespace {

using Sequences = std::vector<std::vector<int>>;

/// As many tokens as the random model has; the first ends a text.
Tokenizer tokenizer_of(const Config& config) {
  Vocabulary v;
  v.pre = "gpt-2";
  for (index id = 0; id < config.vocabulary; ++id) {
    v.tokens.push_back(id == 0 ? "<|endoftext|>" : "token" + std::to_string(id));
    v.types.push_back(id == 0 ? TokenType::control : TokenType::normal);
  }
  v.end = 0;
  return Tokenizer::byte_level(v);
}

Sequences first_of(Sequences sequences, std::size_t count, std::size_t length) {
  sequences.resize(count);
  for (auto& sequence : sequences) sequence.resize(length);
  return sequences;
}

Sequences random_sequences(std::uint64_t seed, index count, index length) {
  Sequences made;
  for (index s = 0; s < count; ++s) made.push_back(random_ids(seed + static_cast<std::uint64_t>(s), length, 97));
  return made;
}

TEST_CASE("a drawn sequence depends on its number alone: not on how many, how long, or on how many threads") {
  const auto source = std::make_shared<RandomModel>(31, RotaryPairs::halves);
  const char* recipe = "";
  SUBCASE("in float") { recipe = "fp32"; }
  SUBCASE("at 8 bits") { recipe = "w8a8"; }
  const Model model = model_of(source, recipe);
  const Tokenizer tokenizer = tokenizer_of(source->config());
  index drawn = 0;
  const Sequences all =
      sample_sequences(model, tokenizer, 19, 40, {}, [&](index tokens) { drawn += tokens; });  // 12 + 7 rows: two tiles
  CHECK(drawn == 19 * 40);
  REQUIRE(all.size() == 19);
  CHECK(all[0] != all[1]);
  for (const auto& sequence : all) {
    CHECK(sequence.size() == 40);
    CHECK(std::count(sequence.begin(), sequence.end(), 0) == 0);  // control tokens are never drawn
  }
  for (index count : {1, 2, 3, 5, 8, 12, 13}) {
    CAPTURE(count);
    CHECK(sample_sequences(model, tokenizer, count, 40, {}) == first_of(all, static_cast<std::size_t>(count), 40));
  }
  CHECK(sample_sequences(model, tokenizer, 4, 9, {}) == first_of(all, 4, 9));
  ThreadPool pool(3);
  CHECK(sample_sequences(model, tokenizer, 19, 40, ExecutorReference(pool)) == all);
  CHECK(sample_sequences(model, tokenizer, 70, 3, {}) ==  // more than are decoded at once
        [&] {
          Sequences one_by_one;
          for (std::uint64_t k = 0; k < 70; ++k) {
            const std::uint64_t seed = 1'000'000 + k;
            one_by_one.push_back(draw_sequences(model, tokenizer, {&seed, 1}, 3, {}).front());
          }
          return one_by_one;
        }());
}

TEST_CASE("texts to calibrate, to score and to learn from have nothing in common") {
  const auto source = std::make_shared<RandomModel>(32, RotaryPairs::interleaved);
  const Model model = model_of(source, "fp32");
  const Tokenizer tokenizer = tokenizer_of(source->config());
  const SampledText text = sample_text(model, tokenizer, {});
  REQUIRE(text.calibration.size() == 8);
  REQUIRE(text.scoring.size() == 8);
  const std::uint64_t third = 1002, last = 2007;  // the seeds of these sequences, in every version
  CHECK(text.calibration[2] == draw_sequences(model, tokenizer, {&third, 1}, SampledText::length, {}).front());
  CHECK(text.scoring[7] == draw_sequences(model, tokenizer, {&last, 1}, SampledText::length, {}).front());
  Sequences all = sample_sequences(model, tokenizer, 8, SampledText::length, {});
  for (const auto* half : {&text.calibration, &text.scoring}) all.insert(all.end(), half->begin(), half->end());
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
}

TEST_CASE("kept sequences serve smaller requests; damaged files and those of other models do not") {
  const TemporaryCache cache;
  const RandomModel source(33, RotaryPairs::halves);
  CHECK_FALSE(load_sampled_sequences(source, 1, 2).has_value());  // not even a folder
  const Sequences small = random_sequences(1, 4, 30), large = random_sequences(9, 6, 50);
  REQUIRE(store_sampled_sequences(source, small));
  CHECK(load_sampled_sequences(source, 4, 30) == small);
  CHECK(load_sampled_sequences(source, 3, 7) == first_of(small, 3, 7));
  CHECK_FALSE(load_sampled_sequences(source, 5, 30).has_value());
  CHECK_FALSE(load_sampled_sequences(source, 4, 31).has_value());
  REQUIRE(store_sampled_sequences(source, large));
  CHECK(load_sampled_sequences(source, 4, 30) == small);
  CHECK(load_sampled_sequences(source, 4, 31) == first_of(large, 4, 31));

  const std::string path = sampled_sequences_path(source, 4, 30);
  const std::string whole = read_text(path), foreign = cache_folder() + "/sampled-0123456789abcdef-9x99.ids";
  std::filesystem::copy_file(sampled_sequences_path(source, 6, 50), foreign);
  CHECK_FALSE(load_sampled_sequences(source, 7, 50).has_value());
  for (const std::string& damaged : {std::string(), std::string("1 2 3\n"), whole.substr(0, whole.size() - 2),
                                     "97" + whole, "x" + whole, "-1" + whole, "1 " + whole}) {
    std::ofstream(path) << damaged;
    CHECK(load_sampled_sequences(source, 4, 30) == first_of(large, 4, 30));  // the next larger file
  }
  std::filesystem::remove(sampled_sequences_path(source, 6, 50));
  CHECK_FALSE(load_sampled_sequences(source, 4, 30).has_value());
  for (const char* name : {"4x30.ids.part", "x30.ids", "4x.ids", "4x30", "-4x30.ids"})
    std::ofstream(cache_folder() + "/sampled-" + source.identity().substr(0, 16) + '-' + name) << whole;
  CHECK_FALSE(load_sampled_sequences(source, 4, 30).has_value());
}

TEST_CASE("a folder that cannot be made keeps nothing and is no error") {
  const TemporaryCache cache;
  std::ofstream(cache.path()) << "in the way";
  const RandomModel source(33, RotaryPairs::halves);
  CHECK_FALSE(store_sampled_sequences(source, random_sequences(1, 2, 3)));
  CHECK_FALSE(load_sampled_sequences(source, 2, 3).has_value());
}

TEST_CASE("the real model draws the same sequences in batches of any size, and a host finds them again") {
  const std::string path = default_model();
  if (path.empty()) {
    MESSAGE("skipped: no model");
    return;
  }
  const TemporaryCache cache;
  Host host({.model = path});
  const Sequences five = host.sampled_sequences(5, 6);
  CHECK(std::filesystem::exists(sampled_sequences_path(host.source(), 5, 6)));
  CHECK(host.sampled_sequences(2, 4) == first_of(five, 2, 4));
  CHECK_FALSE(std::filesystem::exists(sampled_sequences_path(host.source(), 2, 4)));
  std::filesystem::remove(sampled_sequences_path(host.source(), 5, 6));
  CHECK(host.sampled_sequences(1, 6) == first_of(five, 1, 6));
  CHECK(first_of(host.sampled_sequences(13, 5), 5, 5) == first_of(five, 5, 5));
}

}  // namespace
}  // namespace llama::test
