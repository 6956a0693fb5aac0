// FlatQuant's learned parameters in a layer's weights: with quantizers off they change nothing, folding and clipping
// come in the published order, and either layout of RoPE gives the same model.
#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "random_flatquant.hpp"

namespace llama::test {
namespace {

/// Channel of a head in the order of rotate_half that interleaved pairs have at j.
index half_channel(index j, index size) { return j % 2 == 0 ? j / 2 : size / 2 + j / 2; }

/// The same model in both layouts: rows of q and k of the second lie in interleaved pairs.
std::pair<std::shared_ptr<RandomModel>, std::shared_ptr<RandomModel>> both_layouts() {
  auto halves = std::make_shared<RandomModel>(20, RotaryPairs::halves);
  auto interleaved = std::make_shared<RandomModel>(20, RotaryPairs::interleaved);
  const Config& config = halves->config();
  for (index layer = 0; layer < config.layers; ++layer)
    for (Projection p : {Projection::query, Projection::key})
      for (index r = 0; r < shape_of(p, config).rows; ++r) {
        const index from =
            r / config.head_size * config.head_size + half_channel(r % config.head_size, config.head_size);
        const std::string name = layer_tensor(layer, name_of(p));
        for (index c = 0; c < config.hidden_size; ++c) interleaved->at(name, r, c) = halves->at(name, from, c);
        interleaved->at(name + ".bias", 0, r) = halves->at(name + ".bias", 0, from);
      }
  return {halves, interleaved};
}

TEST_CASE("with quantizers off, learned parameters leave the logits as they are, in both layouts") {
  const auto [halves, interleaved] = both_layouts();
  const Config& config = halves->config();
  const std::vector<int> ids = random_ids(3, 17, config.vocabulary);
  const std::vector<float> expected = logits_of(model_of(halves, "fp32"), ids, 17);
  for (const auto& source : {halves, interleaved})
    for (const bool centred : {false, true}) {
      CAPTURE(centred);
      BuildOptions options = options_for("w16a16+flatquant", source->config(), centred);
      options.transforms_float_cache = true;
      CHECK(relative_difference(logits_of(model_of(source, options), ids, 17), expected) < 1e-4);
    }
}

TEST_CASE("with quantized weights and keys, both layouts are the same model") {
  const auto [halves, interleaved] = both_layouts();
  const Config& config = halves->config();
  const std::vector<int> ids = random_ids(3, 17, config.vocabulary);
  const auto logits = [&](const std::shared_ptr<RandomModel>& source, std::string_view recipe) {
    BuildOptions options = options_for(recipe, source->config());
    options.transforms_float_cache = true;
    return logits_of(model_of(source, options), ids, 17);
  };
  CHECK(relative_difference(logits(interleaved, "w4a16+flatquant"), logits(halves, "w4a16+flatquant")) < 1e-5);
  CHECK(relative_difference(logits(interleaved, "w4a16kv8+flatquant"), logits(halves, "w4a16kv8+flatquant")) < 0.01);

  const FlatQuantParameters parameters = random_parameters(config, 5);
  CHECK(in_model_order(parameters, config) == parameters);
  const FlatQuantParameters model = in_model_order(parameters, interleaved->config());
  CHECK_FALSE(model == parameters);
  CHECK(in_rotate_half_order(model, interleaved->config()) == parameters);

  // Keys of interleaved pairs are those of rotate_half in another order, before and after their transform.
  const index d = config.head_size;
  planish::Random random(6);
  std::vector<float> half(static_cast<std::size_t>(d)), pairs(half), half_after(half), pairs_after(half);
  for (float& value : half) value = static_cast<float>(random.normal());
  const auto source_of = [&](std::size_t j) {
    return static_cast<std::size_t>(half_channel(static_cast<index>(j), d));
  };
  for (std::size_t j = 0; j < pairs.size(); ++j) pairs[j] = half[source_of(j)];
  for (bool dual : {false, true}) {
    const auto apply = [&](const FlatQuantParameters& learned, const Config& c, const auto& x, auto& y) {
      const planish::AnyTransform keys = flatquant_keys(learned, c, "keys");
      (dual ? keys.dual() : keys).apply(MatrixView<const float>(x.data(), 1, d), MatrixView<float>(y.data(), 1, d), {});
    };
    apply(parameters, config, half, half_after);
    apply(model, interleaved->config(), pairs, pairs_after);
    for (std::size_t j = 0; j < pairs.size(); ++j)
      CHECK(pairs_after[j] == doctest::Approx(half_after[source_of(j)]).epsilon(1e-5));
  }
}

/// row (1 × n₁ n₂) · (left ⊗ right), written out.
std::vector<double> kronecker_row(const std::vector<double>& row, const std::vector<float>& left,
                                  const std::vector<float>& right) {
  const auto n1 = static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(left.size()))));
  const std::size_t n2 = row.size() / n1;
  std::vector<double> out(row.size(), 0.0);
  for (std::size_t a = 0; a < n1; ++a)
    for (std::size_t b = 0; b < n2; ++b)
      for (std::size_t i = 0; i < n1; ++i)
        for (std::size_t j = 0; j < n2; ++j)
          out[i * n2 + j] +=
              row[a * n2 + b] * static_cast<double>(left[a * n1 + i]) * static_cast<double>(right[b * n2 + j]);
  return out;
}

TEST_CASE("published order: scale and Kronecker, clamp, then what the output gives; codes and scales from that") {
  const auto source = std::make_shared<RandomModel>(20, RotaryPairs::halves);
  const Config& config = source->config();
  const FlatQuantParameters parameters = random_parameters(config, 40);
  const LayerWeights weights = read_layer(*source, 0);
  const BlockParameters made = first_layer(*source, options_for("w4a4kv4+flatquant", config));
  const FlatQuantTransform& values = parameters.transform(BlockSite::output);
  for (Projection p : projections) {
    CAPTURE(name_of(p));
    const MatrixShape shape = shape_of(p, config);
    const FlatQuantTransform& in = parameters.transform(block_site(site_of(p)));
    const auto& clips = parameters.clips_of(block_matrix(p)).weight_rows;
    std::vector<std::vector<double>> rows;
    for (index r = 0; r < shape.rows; ++r) {
      std::vector<double> row;
      for (index c = 0; c < shape.columns; ++c)
        row.push_back(
            static_cast<double>(
                weights.matrices[static_cast<std::size_t>(p)][static_cast<std::size_t>(r * shape.columns + c)]) /
            (in.scale.empty() ? 1.0 : static_cast<double>(in.scale[static_cast<std::size_t>(c)])));
      row = kronecker_row(row, in.left.inverse_transpose, in.right.inverse_transpose);
      const planish::ClipPair clip = clips[static_cast<std::size_t>(r)];
      const double high = std::max(0.0, *std::max_element(row.begin(), row.end())) * static_cast<double>(clip.positive);
      const double low = std::min(0.0, *std::min_element(row.begin(), row.end())) * static_cast<double>(clip.negative);
      for (double& w : row) w = std::clamp(w, low, high);
      if (p == Projection::up)
        for (double& w : row)
          w *= static_cast<double>(parameters.transform(BlockSite::down).scale[static_cast<std::size_t>(r)]);
      rows.push_back(std::move(row));
    }
    if (p == Projection::value) {  // v P_v, head by head: the rows of v mix
      const auto clamped = rows;
      const index d = config.head_size;
      for (index r = 0; r < shape.rows; ++r)
        for (std::size_t c = 0; c < rows.front().size(); ++c) {
          double sum = 0.0;
          for (index i = 0; i < d; ++i)
            sum += clamped[static_cast<std::size_t>(r / d * d + i)][c] *
                   static_cast<double>(values.right.matrix[static_cast<std::size_t>(i * d + r % d)]);
          rows[static_cast<std::size_t>(r)][c] = sum;
        }
    }
    const planish::CodesView codes = made.linears[static_cast<std::size_t>(p)].codes->view();
    int different = 0;
    for (index r = 0; r < shape.rows; ++r) {
      double most = 0.0;
      for (double w : rows[static_cast<std::size_t>(r)]) most = std::max(most, std::fabs(w));
      const double scale = most / 7.0;
      CHECK(static_cast<double>(codes.scales[r]) == doctest::Approx(scale).epsilon(1e-6));
      for (index c = 0; c < shape.columns; ++c) {
        const double steps = rows[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)] / scale;
        different += std::fabs(steps - codes.code(r, c)) > 0.5 + 1e-5 ? 1 : 0;
      }
    }
    CHECK(different == 0);
  }
  for (index c = 0; c < config.hidden_size; ++c) {
    const auto i = static_cast<std::size_t>(c);
    CHECK(made.attention_gain[i] ==
          doctest::Approx(weights.attention_gain[i] * parameters.transform(BlockSite::attention).scale[i]));
    CHECK(made.mlp_gain[i] == doctest::Approx(weights.mlp_gain[i] * parameters.transform(BlockSite::mlp).scale[i]));
  }
  CHECK(made.cache.key_clip == parameters.key_cache);
  CHECK(made.cache.value_clip == parameters.value_cache);
}

TEST_CASE("the scale of down multiplies the row scales of up and leaves its codes alone") {
  const auto source = std::make_shared<RandomModel>(20, RotaryPairs::halves);
  BuildOptions options = options_for("w4a4kv4+flatquant", source->config());
  const FlatQuantParameters parameters = options.learned(0);
  const BlockParameters with = first_layer(*source, options);
  options.learned = [&](index) {
    FlatQuantParameters none = parameters;
    none.transform(BlockSite::down).scale.clear();
    return none;
  };
  const BlockParameters without = first_layer(*source, options);
  const auto up = static_cast<std::size_t>(Projection::up);
  const planish::CodesView a = with.linears[up].codes->view(), b = without.linears[up].codes->view();
  CHECK(std::equal(a.codes, a.codes + a.rows * a.columns, b.codes));
  for (index r = 0; r < a.rows; ++r)
    CHECK(a.scales[r] ==
          doctest::Approx(b.scales[r] * parameters.transform(BlockSite::down).scale[static_cast<std::size_t>(r)]));
}

TEST_CASE("weights that stay float are not clipped; float keys meet no stage") {
  const auto source = std::make_shared<RandomModel>(20, RotaryPairs::halves);
  const std::vector<int> ids = random_ids(3, 17, source->config().vocabulary);
  for (const char* recipe : {"w16a16kv4+flatquant", "w16a4+flatquant", "w4a4kv4+flatquant,down=w16a16"}) {
    CAPTURE(recipe);
    BuildOptions options = options_for(recipe, source->config());
    const BlockParameters clipped = first_layer(*source, options);
    options.learned = [&, learned = options.learned](index layer) {
      FlatQuantParameters open = learned(layer);
      for (auto& clips : open.clips) clips.weight_rows.clear();
      return open;
    };
    const BlockParameters open = first_layer(*source, options);
    const auto down = static_cast<std::size_t>(Projection::down);
    CHECK(clipped.linears[down].weights == open.linears[down].weights);
    CHECK_FALSE(clipped.linears[down].weights.empty());
    CHECK(clipped.key.is_identity() == (options.recipe.key_bits == 16));
  }
}

}  // namespace
}  // namespace llama::test
