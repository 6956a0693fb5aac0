// The figures that a calibration keeps of a block, against plain loops in double.
#include "llama/calibration/site_profile.hpp"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "llama/calibration/channel_figures.hpp"
#include "llama/rope.hpp"
#include "llama/thread_pool.hpp"
#include "plain_matrix.hpp"
#include "random_flatquant.hpp"

namespace llama::test {
namespace {

void check_close(const std::vector<float>& figures, const std::vector<double>& expected) {
  REQUIRE(figures.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(static_cast<double>(figures[i]) == doctest::Approx(expected[i]).epsilon(1e-4));
}

/// A block of the random model, its parameters, and what its sites read in the float model.
struct Case {
  RandomModel source;
  index window = 16;
  std::vector<std::vector<int>> windows;
  FlatQuantParameters parameters, learned;  // the same in the order of rotate_half and of the model
  LayerWeights weights;
  std::vector<float> inputs;
  LayerStatistics seen;

  explicit Case(RotaryPairs pairs) : source(31, pairs) {
    const Config& config = source.config();
    for (std::uint64_t w = 0; w < 2; ++w) windows.push_back(random_ids(50 + w, window, config.vocabulary));
    parameters = random_parameters(config, 40);
    learned = in_model_order(parameters, config);
    weights = read_layer(source, 0);
    inputs.resize(static_cast<std::size_t>(2 * window * config.hidden_size));
    float* row = inputs.data();
    for (const auto& ids : windows)
      for (const int id : ids) {
        source.read_rows("embedding", {config.vocabulary, config.hidden_size}, id, 1, row);
        row += config.hidden_size;
      }
    CalibrationPass pass(source, windows, {});
    seen = pass.next(weights, {.rows = true, .moments = false});
  }

  [[nodiscard]] BlockProfile profile(std::string_view recipe, ExecutorReference executor = {}) const {
    const index hidden = source.config().hidden_size;
    return profile_block(source.config(), weights, require(parse_recipe(recipe)), parameters,
                         {inputs.data(), 2 * window, hidden}, window, "layer 0", executor);
  }
  [[nodiscard]] Matrix rows(SiteKind kind) const {
    return {seen[static_cast<std::size_t>(kind)].rows, static_cast<std::size_t>(channels_at(kind, source.config()))};
  }
  [[nodiscard]] Matrix matrix(Projection p) const {
    return {weights.matrices[static_cast<std::size_t>(p)],
            static_cast<std::size_t>(shape_of(p, source.config()).columns)};
  }
  /// The transform of a site as one matrix, of weights if `dual`.
  [[nodiscard]] Matrix transform(SiteKind kind, bool dual) const {
    const auto& t = learned.transform(block_site(kind));
    Matrix made = kronecker(square(dual ? t.left.inverse_transpose : t.left.matrix, 1),
                            square(dual ? t.right.inverse_transpose : t.right.matrix, 1));
    for (std::size_t r = 0; r < t.scale.size(); ++r)
      for (std::size_t c = 0; c < made.columns; ++c)
        made.at(r, c) *= std::pow(static_cast<double>(t.scale[r]), dual ? -1.0 : 1.0);
    return made;
  }
  [[nodiscard]] Matrix with_bias(Matrix y, Projection p) const {
    const auto& bias = weights.biases[static_cast<std::size_t>(p)];
    if (!bias.empty())
      for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] += static_cast<double>(bias[i % y.columns]);
    return y;
  }
};

/// Heads of a matrix's rows turned: W ← (I ⊗ P)ᵀ W.
Matrix turn_rows(const Matrix& w, const Matrix& p) {
  Matrix made(w.rows, w.columns);
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.columns; ++c)
      for (std::size_t i = 0; i < p.rows; ++i) made.at(r, c) += p.at(i, r % p.rows) * w.at(r / p.rows * p.rows + i, c);
  return made;
}

/// Rows of y seen head by head.
Matrix heads_of(Matrix y, std::size_t size) {
  y.rows *= y.columns / size;
  y.columns = size;
  return y;
}

/// Outputs of a quantized matrix that reads a site through `turn` and its dual, weights clipped or not.
Matrix outputs(const Case& is, Projection p, const Matrix& turn, const Matrix& dual, bool learned) {
  const auto& clips = is.learned.clips_of(block_matrix(p));
  Matrix w = times(is.matrix(p), dual);
  const auto& head = is.learned.transform(BlockSite::output).right;
  const std::size_t size = static_cast<std::size_t>(is.source.config().head_size);
  if (learned)
    for (std::size_t r = 0; r < w.rows; ++r) {
      double low = 0.0, high = 0.0;
      for (std::size_t c = 0; c < w.columns; ++c) low = std::min(low, w.at(r, c)), high = std::max(high, w.at(r, c));
      for (std::size_t c = 0; c < w.columns; ++c)
        w.at(r, c) = std::clamp(w.at(r, c), low * static_cast<double>(clips.weight_rows[r].negative),
                                high * static_cast<double>(clips.weight_rows[r].positive));
    }
  const bool turns_values = learned && p == Projection::value;
  if (turns_values) w = turn_rows(w, square(head.matrix, size));
  const Matrix x =
      quantized(times(is.rows(site_of(p)), turn), {.clip = learned ? clips.activation : planish::ClipPair{}});
  Matrix y = times(x, quantized(w, {}), true);
  if (turns_values) {
    const std::size_t rows = y.rows, columns = y.columns;
    y = times(heads_of(std::move(y), size), square(head.inverse_transpose, size), true);
    y.rows = rows;
    y.columns = columns;
  }
  return is.with_bias(std::move(y), p);
}

double site_error(const Case& is, SiteKind kind, const Matrix& turn, const Matrix& dual, bool learned) {
  double error = 0.0, size = 0.0;
  for (Projection p : projections)
    if (site_of(p) == kind)
      error += distance(outputs(is, p, turn, dual, learned), is.with_bias(times(is.rows(kind), is.matrix(p), true), p),
                        size);
  return std::sqrt(error / size);
}

Matrix hadamard(std::size_t n) {
  const auto stage = require(planish::Hadamard::make(static_cast<index>(n)));
  Matrix made(n, n);
  std::vector<double> scratch(static_cast<std::size_t>(stage.scratch_size(static_cast<index>(n))));
  const Matrix unit = identity(n);
  const auto rows = static_cast<index>(n);
  stage.apply(MatrixView<const double>(unit.values.data(), rows, rows),
              MatrixView<double>(made.values.data(), rows, rows), std::span<double>(scratch));
  return made;
}

TEST_CASE("a profile of a block is what plain loops find, in both layouts of RoPE") {
  for (const RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves}) {
    const Case is(pairs);
    const BlockProfile profile = is.profile("w4a4kv4+flatquant");
    CHECK(profile.tokens == 32);
    for (SiteKind kind : site_kinds) {
      CAPTURE(to_string(kind));
      const SiteProfile& site = profile.sites[static_cast<std::size_t>(kind)];
      const Matrix x = is.rows(kind), turn = is.transform(kind, false), dual = is.transform(kind, true);
      check_close(site.activations.before, x.column_magnitudes());
      check_close(site.activations.after, times(x, turn).column_magnitudes());
      CHECK(site.kurtosis_before == doctest::Approx(kurtosis(x)).epsilon(1e-3));
      CHECK(site.kurtosis_after == doctest::Approx(kurtosis(times(x, turn))).epsilon(1e-3));
      std::vector<double> before(x.columns), after(x.columns);
      for (Projection p : projections) {
        if (site_of(p) != kind) continue;
        const auto plain = is.matrix(p).column_magnitudes(), folded = times(is.matrix(p), dual).column_magnitudes();
        for (std::size_t c = 0; c < x.columns; ++c) {
          before[c] = std::max(before[c], plain[c]);
          after[c] = std::max(after[c], folded[c]);
        }
      }
      check_close(site.weights.before, before);
      check_close(site.weights.after, after);
      // Codes flip where a product of another order rounds to the other side.
      REQUIRE(site.errors);
      const Matrix none = identity(x.columns), h = hadamard(x.columns);
      CHECK(site.errors->plain == doctest::Approx(site_error(is, kind, none, none, false)).epsilon(0.01));
      REQUIRE(site.errors->hadamard);
      CHECK(*site.errors->hadamard == doctest::Approx(site_error(is, kind, h, h, false)).epsilon(0.01));
      CHECK(site.errors->learned == doctest::Approx(site_error(is, kind, turn, dual, true)).epsilon(0.01));
    }
  }
}

TEST_CASE("keys and clips of a profile are what plain loops find") {
  const Case is(RotaryPairs::interleaved);
  const Config& config = is.source.config();
  const BlockProfile profile = is.profile("w4a4kv4+flatquant");
  const auto size = static_cast<std::size_t>(config.head_size);
  Matrix keys = is.with_bias(times(is.rows(SiteKind::attention), is.matrix(Projection::key), true), Projection::key);
  std::vector<float> turned(keys.values.begin(), keys.values.end());
  const Rope rope(config, is.window);
  for (index w = 0; w < 2; ++w)
    rope.apply({turned.data() + w * is.window * config.kv_size(), is.window, config.kv_size()}, 0);
  keys = heads_of(Matrix(turned, keys.columns), size);
  const Matrix factor = square(is.learned.key_head.matrix, size),
               inverse = square(is.learned.key_head.inverse_transpose, size);
  const Matrix flat = times(keys, factor);
  REQUIRE(profile.keys);
  check_close(profile.keys->activations.before, keys.column_magnitudes());
  check_close(profile.keys->activations.after, flat.column_magnitudes());
  CHECK(profile.keys->kurtosis_after == doctest::Approx(kurtosis(flat)).epsilon(1e-3));
  const auto error = [&](const Matrix& back) {
    double norm = 0.0;
    const double off = distance(back, keys, norm);
    return std::sqrt(off / norm);
  };
  const Quantization plain{.asymmetric = true}, clipped{.asymmetric = true, .clip = is.learned.key_cache};
  const Matrix h = hadamard(size);
  REQUIRE(profile.keys->errors);
  CHECK(profile.keys->errors->plain == doctest::Approx(error(quantized(keys, plain))).epsilon(0.01));
  CHECK(*profile.keys->errors->hadamard ==
        doctest::Approx(error(times(quantized(times(keys, h), plain), h, true))).epsilon(0.01));
  CHECK(profile.keys->errors->learned ==
        doctest::Approx(error(times(quantized(flat, clipped), inverse, true))).epsilon(0.01));
  CHECK(profile.key_clip == is.learned.key_cache);
  CHECK(profile.value_clip == is.learned.value_cache);

  for (Projection p : projections) {
    CAPTURE(name_of(p));
    const Matrix w = times(is.matrix(p), is.transform(site_of(p), true));
    const auto& clips = is.learned.clips_of(block_matrix(p));
    const MatrixClips& kept = profile.clips[static_cast<std::size_t>(p)];
    CHECK(kept.rows == static_cast<index>(w.rows));
    CHECK(kept.activation == clips.activation);
    double sum = 0.0, least = 1.0;
    for (std::size_t r = 0; r < w.rows; ++r) {
      double low = 0.0, high = 0.0;
      for (std::size_t c = 0; c < w.columns; ++c) low = std::min(low, w.at(r, c)), high = std::max(high, w.at(r, c));
      const double left = std::max(high * static_cast<double>(clips.weight_rows[r].positive),
                                   -low * static_cast<double>(clips.weight_rows[r].negative)) /
                          w.row_magnitude(r);
      sum += left;
      least = std::min(least, left);
    }
    CHECK(kept.weight_mean == doctest::Approx(sum / static_cast<double>(w.rows)).epsilon(1e-4));
    CHECK(kept.weight_least == doctest::Approx(least).epsilon(1e-4));
  }
}

TEST_CASE("a profile has the same bits on any number of threads") {
  const Case is(RotaryPairs::halves);
  for (const char* recipe : {"w4a4kv4+flatquant", "w3a16g8+flatquant", "w16a4k8v3+flatquant"}) {
    CAPTURE(recipe);
    const BlockProfile serial = is.profile(recipe);
    for (const int workers : {2, 3}) {
      ThreadPool pool(workers);
      CHECK(is.profile(recipe, ExecutorReference(pool)) == serial);
    }
  }
}

TEST_CASE("what is not quantized has no error, and clips that do not act are whole") {
  const Case is(RotaryPairs::halves);
  const BlockProfile cache_only = is.profile("w16a16kv3+flatquant");
  for (const SiteProfile& site : cache_only.sites) CHECK_FALSE(site.errors);
  CHECK(cache_only.keys);
  CHECK(cache_only.clips[0].weight_mean == 1.0);
  CHECK(cache_only.clips[0].activation == planish::ClipPair{});
  const BlockProfile mixed = is.profile("w4a4+flatquant,down=w16a16");
  CHECK_FALSE(mixed.keys);
  CHECK(mixed.sites[0].errors);
  CHECK_FALSE(mixed.sites[3].errors);
  CHECK(mixed.clips[6].weight_least == 1.0);
  const BlockProfile fine = is.profile("w8a8kv8+flatquant");
  CHECK(fine.sites[0].errors->plain < 0.1 * mixed.sites[0].errors->plain);
}

TEST_CASE("kurtosis of rows") {
  const std::vector<float> spike{0, 0, 0, 8, 0, 0, 0, 0}, signs{1, -1, 1, -1, 1, -1, 1, -1};
  CHECK(mean_row_kurtosis({spike.data(), 1, 8}) == doctest::Approx(43.0 / 7.0));  // p = 1/8: (1 − 3pq) / pq
  CHECK(mean_row_kurtosis({signs.data(), 1, 8}) == doctest::Approx(1.0));
  const std::vector<float> still(8, 3.0f);
  CHECK(mean_row_kurtosis({still.data(), 1, 8}) == 0.0);
}

}  // namespace
}  // namespace llama::test
