// What goes to a GPU: transforms as steps, codes in canonical order, and one sentence for what no kernel does.
#include <cmath>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/transform/permutation.hpp>
#include <planish/transform/rotation.hpp>

#include "command_line.hpp"
#include "fixtures.hpp"
#include "llama/cuda/image_of.hpp"
#include "messages.hpp"
#include "random_model.hpp"

namespace llama::test {
namespace {

using planish::AnyTransform;

std::vector<float> normals(std::uint64_t seed, index count) {
  planish::Random random(seed);
  std::vector<float> values;
  for (index i = 0; i < count; ++i) values.push_back(static_cast<float>(random.normal()));
  return values;
}

/// The steps by plain loops, in float64.
std::vector<double> run_steps(const std::vector<gpu::StepImage>& steps, const std::vector<float>& x) {
  std::vector<double> row(x.begin(), x.end());
  for (const gpu::StepImage& step : steps) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (!step.offset.empty()) row[c] -= static_cast<double>(step.offset[c]);
      if (!step.scale.empty()) row[c] *= static_cast<double>(step.scale[c]);
    }
    if (!step.is_kronecker()) continue;
    const auto n1 = static_cast<std::size_t>(step.n1), n2 = static_cast<std::size_t>(step.n2);
    REQUIRE(n1 * n2 == row.size());
    const auto element = [](const std::vector<float>& matrix, std::size_t n, std::size_t i, std::size_t j) {
      if (matrix.empty()) return i == j ? 1.0 : 0.0;
      return static_cast<double>(matrix[i * n + j]);
    };
    std::vector<double> next(row.size());
    for (std::size_t i = 0; i < n1; ++i)
      for (std::size_t k = 0; k < n2; ++k)
        for (std::size_t j = 0; j < n1; ++j) {
          const double left = element(step.left, n1, i, j);
          if (left == 0.0) continue;
          for (std::size_t c = 0; c < n2; ++c)
            next[j * n2 + c] +=
                row[i * n2 + k] * left * element(step.right, n2, k, c) * static_cast<double>(step.factor);
        }
    row = std::move(next);
  }
  return row;
}

void check_steps(const AnyTransform& transform) {
  CAPTURE(transform.describe());
  const index n = transform.size();
  const std::vector<float> x = normals(3, n);
  std::vector<double> exact(x.begin(), x.end()), expected(x.size()),
      scratch(static_cast<std::size_t>(transform.scratch_size(1)));
  transform.apply(MatrixView<const double>(exact.data(), 1, n), MatrixView<double>(expected.data(), 1, n),
                  std::span<double>(scratch));
  const std::vector<double> made = run_steps(gpu::steps_of(transform, "here"), x);
  for (std::size_t c = 0; c < expected.size(); ++c)
    CHECK(made[c] == doctest::Approx(expected[c]).epsilon(1e-5).scale(1.0));
}

AnyTransform kronecker(index n1, index n2) {
  return AnyTransform(planish::Kronecker(planish::Rotation::random(n1, 1), planish::Rotation::random(n2, 2)));
}

TEST_CASE("a Hadamard transform of any order is two factors of signs") {
  for (const index n : {1, 2, 4, 12, 16, 20, 40, 56, 64, 128, 144, 240, 576, 1536}) {
    check_steps(AnyTransform(require(planish::Hadamard::make(n))));
    check_steps(AnyTransform(require(planish::Hadamard::make(n, 7))));
  }
  const auto steps = gpu::steps_of(AnyTransform(require(planish::Hadamard::make(576))), "here");
  REQUIRE(steps.size() == 1);
  CHECK(steps[0].n1 + steps[0].n2 == 12 + 48);
}

TEST_CASE("every stage of a recipe is a step, and neighbours are one as far as the product behind them") {
  check_steps(AnyTransform::identity(7));
  check_steps(kronecker(5, 8));
  check_steps(AnyTransform(planish::Kronecker(planish::Rotation::random(6, 1), planish::Identity(8))));
  check_steps(AnyTransform(planish::Kronecker(planish::Identity(6), planish::Rotation::random(8, 1))));
  check_steps(AnyTransform(planish::Kronecker(planish::Identity(6), require(planish::Hadamard::make(8, 3)))));
  check_steps(AnyTransform(planish::Rotation::random(24, 1)));
  AnyTransform whole{planish::Shift(normals(5, 40))};
  std::vector<float> factors(40, 0.5f);
  factors[3] = -4.0f;
  require(whole.append(AnyTransform(require(planish::Scale::make(factors)))));
  CHECK(gpu::steps_of(whole, "here").size() == 1);
  require(whole.append(kronecker(5, 8)));
  CHECK(gpu::steps_of(whole, "here").size() == 1);
  require(whole.append(AnyTransform(require(planish::Scale::make(factors)))));
  require(whole.append(AnyTransform{planish::Shift(normals(6, 40))}));
  CHECK(gpu::steps_of(whole, "here").size() == 3);
  check_steps(whole);
}

TEST_CASE("a stage that no kernel does is named") {
  const std::vector<std::int32_t> sources{1, 0, 2};
  const AnyTransform swap(require(planish::Permutation::make(sources)));
  CHECK(message_of([&] { static_cast<void>(gpu::steps_of(swap, "layer 3.down")); }) ==
        "layer 3.down: the GPU has no kernel for permutation(3); use --backend cpu");
}

gpu::LayerImage image_of(std::string_view recipe, index layer = 1) {
  const auto source = std::make_shared<RandomModel>(7, RotaryPairs::interleaved);
  const Model model = model_of(source, recipe);
  return gpu::image_of(model.blocks()[static_cast<std::size_t>(layer)], "layer 1");
}

TEST_CASE("an image has the codes, scales and quantizers of the block, whatever the recipe") {
  for (const std::string_view recipe : {"fp32", "w8a8", "w4a4kv4+hadamard", "w4a4kv4+kronecker", "w3a8sk3v2g32",
                                        "w4a16g8", "w4a8+shift+scale+hadamard", "w16a8", "w4a4,down=w8a16"}) {
    CAPTURE(recipe);
    const auto source = std::make_shared<RandomModel>(7, RotaryPairs::interleaved);
    const Model model = model_of(source, recipe);
    const Block& block = model.blocks()[1];
    const gpu::LayerImage image = gpu::image_of(block, "layer 1");
    for (const Projection p : projections) {
      const gpu::LinearImage& linear = image.linears[static_cast<std::size_t>(p)];
      const planish::AnyLinear& from = block.linear(p);
      const planish::RowQuantizer& q = block.site(site_of(p)).quantizer();
      CHECK(linear.reads_codes == (q.bits < 16));
      REQUIRE(linear.rows == from.rows());
      REQUIRE(linear.columns == from.columns());
      CHECK(linear.bias == std::vector<float>(from.bias().begin(), from.bias().end()));
      bool equal = true;
      for (int r = 0; r < linear.rows; ++r)
        for (int c = 0; c < linear.columns; ++c) {
          const auto at = static_cast<std::size_t>(r * linear.columns + c);
          if (!from.has_codes()) {
            equal = equal && linear.weights[at] == from.float_panels().value(r, c);
            continue;
          }
          const int groups = (linear.columns + linear.group_columns - 1) / linear.group_columns;
          const auto side = static_cast<std::size_t>(r * groups + c / linear.group_columns);
          const int code = linear.asymmetric ? linear.codes[at] - linear.zeros[side]
                                             : static_cast<int>(static_cast<std::int8_t>(linear.codes[at]));
          equal = equal && static_cast<float>(code) * linear.scales[side] == from.packed().value(r, c);
        }
      CHECK(equal);
    }
    for (const SiteKind kind : site_kinds) {
      const gpu::SiteImage& site = image.sites[static_cast<std::size_t>(kind)];
      const planish::RowQuantizer& q = block.site(kind).quantizer();
      REQUIRE(site.quantizers.size() == 1);
      CHECK(site.quantizers[0].bits == q.bits);
      CHECK(site.quantizers[0].static_scale == q.static_scale);
      CHECK(site.channels == channels_at(kind, model.config()));
    }
    CHECK(image.key_bits == block.cache().key_bits);
    CHECK(image.value_bits == block.cache().value_bits);
    CHECK(image.key.empty() == block.key_transform().is_identity());
  }
}

TEST_CASE("embedding, norm and head come along, the head in its own bits") {
  const auto source = std::make_shared<RandomModel>(7, RotaryPairs::halves, true);
  const gpu::FrameImage frame = gpu::frame_of(model_of(source, "w8a8"));
  CHECK(frame.embedding == source->values("embedding"));
  CHECK(frame.head.weights == source->values("embedding"));
  CHECK(frame.norm_gain == source->values("norm"));
  CHECK(frame.head_site.quantizers[0].bits == 16);
  CHECK_FALSE(frame.interleaved);
}

TEST_CASE("the part of a recipe that the GPU does not run is named in one sentence") {
  const auto message = [](std::string_view recipe) { return message_of([&] { static_cast<void>(image_of(recipe)); }); };
  CHECK(message("w4a4kv4+q8p8") ==
        "layer 1: q8p8 attention runs on the CPU only; leave +q8p8 out of the recipe, or use --backend cpu");
  CHECK(message("w4a4k4v16") ==
        "layer 1: the GPU caches keys and values both as codes or both in float32, not keys of "
        "4 and values of 16 bits; name both in the recipe, or use --backend cpu");
  CHECK(message("w4a8g8") ==
        "layer 1.q: integer products on a GPU take groups of a multiple of 32 columns, not of 8; "
        "choose another g in the recipe, or use --backend cpu");
  const Model fake = model_of(std::make_shared<RandomModel>(7, RotaryPairs::halves), "w8a8", planish::SiteMode::fake);
  CHECK(message_of([&] { static_cast<void>(gpu::image_of(fake.blocks()[0], "layer 0")); }) ==
        "layer 0.attn: the GPU multiplies codes; leave --fake out, or use --backend cpu");
}

TEST_CASE("--backend is refused in one sentence where it cannot run, before anything is read") {
  CHECK(run({"perplexity", "--backend", "rocm", "--model", "none"}).find("--backend") == 0);
  CHECK(run({"generate", "--backend", "cuda", "--fake", "--prompt", "x", "--model", "none"}) ==
        "--fake simulates on the CPU: leave it out, or use --backend cpu");
  for (const char* command : {"perplexity", "compare", "bench"}) {
    const std::string message = run({command, "--backend", "cuda", "--model", "/nowhere/none.gguf"});
    // Built without CUDA, or no GPU here; with one, it is the model that is missing.
    const bool known = message ==
                           "--backend cuda: this planish-llama was built without CUDA; configure it with "
                           "-DPLANISH_CUDA=ON (needs nvcc)" ||
                       message ==
                           "--backend cuda: this machine has no NVIDIA GPU, or no driver that shows it; use "
                           "--backend cpu" ||
                       message.find("/nowhere/none.gguf") != std::string::npos;
    CHECK_MESSAGE(known, message);
  }
}

}  // namespace
}  // namespace llama::test
