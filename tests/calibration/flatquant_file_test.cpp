// FlatQuant's parameters as files: what is written is read back, the reference implementation's own file is understood,
// and files that are wrong are refused with file, tensor and reason.
#include <cmath>
#include <functional>
#include <utility>

#include <planish/calibration/methods/flatquant_file.hpp>
#include <planish/calibration/methods/weight_clip.hpp>
#include <planish/core/random.hpp>

#include "io/files.hpp"

using namespace planish;
using namespace planish::calibration;

namespace {

constexpr FlatQuantSizes sizes{.hidden = 24, .ffn = 40, .heads = 4, .kv_heads = 2, .head_size = 6};

MatrixPair random_pair(planish::index n, std::uint64_t seed) {
  const Dense stage = Dense::random(n, seed);
  const auto count = static_cast<std::size_t>(n * n);
  return {{stage.matrix<float>(), stage.matrix<float>() + count},
          {stage.inverse_transpose<float>(), stage.inverse_transpose<float>() + count}};
}

FlatQuantParameters random_parameters(std::uint64_t seed) {
  Random random(seed);
  const auto factor = [&] { return static_cast<float>(0.5 + 0.5 * random.uniform()); };
  FlatQuantParameters made;
  for (BlockSite site : {BlockSite::attention, BlockSite::mlp, BlockSite::down}) {
    FlatQuantTransform& transform = made.transform(site);
    for (planish::index i = 0; i < sizes.channels(site); ++i) {
      transform.shift.push_back(factor() - 0.5f);
      transform.scale.push_back(2.0f * factor());
    }
    transform.left = random_pair(site == BlockSite::down ? 5 : 4, ++seed);
    transform.right = random_pair(site == BlockSite::down ? 8 : 6, ++seed);
  }
  made.transform(BlockSite::output) = {
      .shift = std::vector<float>(static_cast<std::size_t>(sizes.channels(BlockSite::output)), 0.25f),
      .scale = {},
      .left = random_pair(4, ++seed),
      .right = random_pair(6, ++seed)};
  made.key_head = random_pair(6, ++seed);
  for (std::size_t i = 0; i < block_matrices; ++i) {
    for (planish::index r = 0; r < sizes.rows(static_cast<BlockMatrix>(i)); ++r)
      made.clips[i].weight_rows.push_back({factor(), factor()});
    made.clips[i].activation = {factor(), factor()};
  }
  made.key_cache = {factor(), factor()};
  made.value_cache = {factor(), factor()};
  return made;
}

/// Learned weights of every matrix.
FlatQuantParameters with_weights(FlatQuantParameters made) {
  for (std::size_t i = 0; i < block_matrices; ++i) {
    const auto matrix = static_cast<BlockMatrix>(i);
    FlatQuantWeights& w = made.weights[i] = {sizes.rows(matrix), sizes.columns(matrix), {}};
    for (planish::index at = 0; at < w.rows * w.columns; ++at)
      w.values.push_back(0.25f * static_cast<float>(at % 15 - 7));
  }
  return made;
}

using Spoil = std::function<void(io::SafetensorsWriter& to, const io::Tensor& tensor)>;

/// Writes two layers, opens the file, and writes its tensors again, each through `spoil`.
Result<FlatQuantFile> spoiled(const io_test::TemporaryFolder& folder, const Spoil& spoil) {
  io::SafetensorsWriter writer, again;
  for (planish::index layer : {0, 1}) REQUIRE(add_flatquant(writer, layer, random_parameters(10)).ok());
  for (const io::Tensor& tensor : writer.tensors()) spoil(again, tensor);
  REQUIRE(again.write(folder / "p.safetensors").ok());
  return FlatQuantFile::open(folder / "p.safetensors");
}

void copy(io::SafetensorsWriter& to, const io::Tensor& t) { REQUIRE(to.add(t.name, t.dtype, t.shape, t.bytes).ok()); }

}  // namespace

TEST_CASE("what is written is read back to the bit") {
  const io_test::TemporaryFolder folder;
  FlatQuantParameters bare = random_parameters(3);  // everything that may be absent is
  for (FlatQuantTransform& transform : bare.transforms) transform.scale.clear(), transform.shift.clear();
  for (FlatQuantClips& clips : bare.clips) clips.weight_rows.clear();
  bare.key_head = bare.transform(BlockSite::output).left = bare.transform(BlockSite::mlp).left =
      bare.transform(BlockSite::mlp).right = {};
  const FlatQuantParameters learned = with_weights(random_parameters(4));
  for (const FlatQuantParameters& parameters : {random_parameters(1), bare, learned}) {
    io::SafetensorsWriter writer;
    REQUIRE(add_flatquant(writer, 0, parameters).ok());
    CHECK_FALSE(add_flatquant(writer, 0, parameters).ok());
    REQUIRE(writer.write(folder / "p.safetensors").ok());
    const auto file = FlatQuantFile::open(folder / "p.safetensors");
    REQUIRE(file.has_value());
    const auto read = file->read(0, sizes);
    INFO(io_test::message_of(read.status()));
    REQUIRE(read.has_value());
    CHECK(*read == parameters);
    const FlatQuantParameters& kept = *read;  // by name as well as by place
    CHECK(kept.weights_of(BlockMatrix::key).rows == (parameters == learned ? sizes.rows(BlockMatrix::key) : 0));
  }
}

TEST_CASE("files that are wrong are refused: file, tensor, reason") {
  struct Case {
    const char* tensor;
    ErrorCode code;
    const char* reason;
    Spoil spoil;
  };
  const auto with_value = [](float value) {
    return [value](io::SafetensorsWriter& to, const io::Tensor& t) {
      std::vector<float> values(static_cast<std::size_t>(t.elements()));
      REQUIRE(io::read_floats("memory", t, 0, values).ok());
      values[values.size() / 2] = value;
      REQUIRE(to.add_floats(t.name, t.shape, values).ok());
    };
  };
  const Spoil leave_out = [](io::SafetensorsWriter&, const io::Tensor&) {};
  const Spoil flatten = [](io::SafetensorsWriter& to, const io::Tensor& t) {
    REQUIRE(to.add(t.name, t.dtype, {1, t.elements()}, t.bytes).ok());
  };
  for (const Case& c :
       {Case{"layers.1.attn_in.P_left", ErrorCode::invalid_argument, "is not in this file", leave_out},
        Case{"layers.1.attn_in.diag", ErrorCode::invalid_argument, "is not in this file", leave_out},
        Case{"layers.1.o_heads.shift", ErrorCode::invalid_argument, "is not in this file", leave_out},
        Case{"layers.0.down_in.shift", ErrorCode::shape_mismatch, "is 1 x 40, not 40", flatten},
        Case{"layers.1.mlp_in.shift", ErrorCode::not_finite, "NaN", with_value(std::nanf(""))},
        Case{"layers.1.k_head.P", ErrorCode::invalid_argument, "is not in this file", leave_out},
        Case{"layers.0.k_head.P_inv_t", ErrorCode::invalid_argument, "is not in this file", leave_out},
        Case{"layers.1.up_proj.lwc_min", ErrorCode::invalid_argument, "is not in this file", leave_out},
        Case{"layers.0.up_proj.lac_min", ErrorCode::invalid_argument, "is not in this file", leave_out},
        Case{"layers.1.v_cache.clip_max", ErrorCode::invalid_argument, "is not in this file", leave_out},
        Case{"layers.0.v_head.P", ErrorCode::shape_mismatch, "is 1 x 36, not 6 x 6", flatten},
        Case{"layers.0.mlp_in.diag", ErrorCode::shape_mismatch, "is 1 x 24, not 24", flatten},
        Case{"layers.0.q_proj.lwc_max", ErrorCode::shape_mismatch, "is 1 x 24, not 24", flatten},
        Case{"layers.1.down_in.P_left", ErrorCode::shape_mismatch, "25 channels do not divide 40", flatten},
        Case{"layers.1.down_in.P_right", ErrorCode::not_finite, "NaN", with_value(std::nanf(""))},
        Case{"layers.1.o_proj.lac_max", ErrorCode::not_finite, "NaN", with_value(HUGE_VALF)},
        Case{"layers.1.o_heads.P_inv_t", ErrorCode::invalid_argument, "inverse transpose", with_value(9.0f)},
        Case{"layers.0.attn_in.diag", ErrorCode::singular, "channel 12 has c = 0.0", with_value(0.0f)},
        Case{"layers.0.attn_in.diag", ErrorCode::singular, "reciprocal", with_value(1e-42f)},
        Case{"layers.1.down_in.diag", ErrorCode::unsupported, "negative", with_value(-0.5f)},
        Case{"layers.1.k_proj.lwc_min", ErrorCode::malformed, "(0, 1]", with_value(-0.1f)},
        Case{"layers.1.k_proj.lwc_max", ErrorCode::malformed, "(0, 1]", with_value(4.0f)},
        Case{"layers.0.k_cache.clip_min", ErrorCode::malformed, "(0, 1]", with_value(0.0f)},
        Case{"layers.0.down_in.diag", ErrorCode::singular, "channel 20 has c = -0.0", with_value(-0.0f)},
        Case{"layers.0.gate_proj.lac_max", ErrorCode::malformed, "2^-20", with_value(1e-9f)}}) {
    CAPTURE(c.tensor);
    CAPTURE(c.reason);
    const io_test::TemporaryFolder folder;
    const auto file = spoiled(folder, [&](io::SafetensorsWriter& to, const io::Tensor& tensor) {
      tensor.name == c.tensor ? c.spoil(to, tensor) : copy(to, tensor);
    });
    REQUIRE(file.has_value());
    const auto read = file->read(std::string_view(c.tensor)[7] - '0', sizes);
    const std::string message = io_test::message_of(read.status());
    CAPTURE(message);
    CHECK(read.status().code() == c.code);
    CHECK(message.starts_with(folder / "p.safetensors: tensor '" + c.tensor + "': "));
    CHECK(io_test::contains(message, c.reason));
  }
}

TEST_CASE("learned weights of another shape, and of some layers only, are refused") {
  const io_test::TemporaryFolder folder;
  const auto message_of = [&](const FlatQuantParameters& first, const FlatQuantParameters& second) {
    io::SafetensorsWriter writer;
    REQUIRE(add_flatquant(writer, 0, first).ok());
    REQUIRE(add_flatquant(writer, 1, second).ok());
    REQUIRE(writer.write(folder / "p.safetensors").ok());
    return io_test::message_of(FlatQuantFile::open(folder / "p.safetensors")->read(1, sizes).status());
  };
  const FlatQuantParameters whole = with_weights(random_parameters(5));
  FlatQuantParameters turned = whole, bare = whole;
  std::swap(turned.weights_of(BlockMatrix::up).rows, turned.weights_of(BlockMatrix::up).columns);
  bare.weights_of(BlockMatrix::down) = {};
  CHECK(message_of(whole, whole).empty());
  CHECK(io_test::contains(message_of(whole, turned), "'layers.1.up_proj.learned_weight': is 24 x 40, not 40 x 24"));
  CHECK(io_test::contains(message_of(whole, bare), "layers.1.down_proj.learned_weight"));
  CHECK(io_test::contains(message_of(bare, whole), "layer 0 has no such tensor"));
}

TEST_CASE("clip factors of exactly one and factors of one channel are read") {
  const io_test::TemporaryFolder folder;
  FlatQuantParameters parameters = random_parameters(6);
  parameters.value_cache = {1.0f, 1.0f};
  parameters.clips_of(BlockMatrix::up).weight_rows[3] = {1.0f, 0x1p-20f};
  parameters.transform(BlockSite::attention).left = random_pair(1, 3);
  parameters.transform(BlockSite::attention).right = random_pair(24, 4);
  parameters.transform(BlockSite::mlp).left = random_pair(24, 5);
  parameters.transform(BlockSite::mlp).right = random_pair(1, 6);
  io::SafetensorsWriter writer;
  REQUIRE(add_flatquant(writer, 0, parameters).ok());
  REQUIRE(writer.write(folder / "p.safetensors").ok());
  const auto read = FlatQuantFile::open(folder / "p.safetensors")->read(0, sizes);
  INFO(io_test::message_of(read.status()));
  REQUIRE(read.has_value());
  CHECK(*read == parameters);
}

TEST_CASE("other files, other models and missing layers are refused") {
  const io_test::TemporaryFolder folder;
  io::SafetensorsWriter other;
  REQUIRE(other.add_floats("weight", {1}, std::vector<float>{1.0f}).ok());
  REQUIRE(other.write(folder / "other.safetensors").ok());
  const auto refused = FlatQuantFile::open(folder / "other.safetensors");
  CHECK(refused.status().code() == ErrorCode::unsupported);
  CHECK(io_test::contains(io_test::message_of(refused.status()), "no FlatQuant parameters"));
  CHECK(FlatQuantFile::open(folder / "nothing").status().code() == ErrorCode::io);

  const auto file = spoiled(folder, copy);
  REQUIRE(file.has_value());
  CHECK(file->read(2, sizes).status().code() == ErrorCode::invalid_argument);
  const auto differ = spoiled(folder, [](io::SafetensorsWriter& to, const io::Tensor& tensor) {
    if (!tensor.name.starts_with("layers.0.v_head")) copy(to, tensor);
  });
  REQUIRE(differ.has_value());
  CHECK(differ->read(0, sizes).has_value());
  CHECK(io_test::contains(io_test::message_of(differ->read(1, sizes).status()), "layers.1.v_head.P': layer 0 has no"));
  FlatQuantSizes wider = sizes;
  wider.hidden = 28;
  CHECK(file->read(0, wider).status().code() == ErrorCode::shape_mismatch);

  io::SafetensorsWriter writer;
  FlatQuantParameters parameters = random_parameters(4);
  parameters.key_head.matrix.pop_back();
  CHECK(add_flatquant(writer, 0, parameters).code() == ErrorCode::shape_mismatch);
  parameters = random_parameters(4);
  parameters.clips[2].activation.negative = std::nanf("");
  CHECK(add_flatquant(writer, 1, parameters).code() == ErrorCode::not_finite);
}

TEST_CASE("the file that the reference implementation learned for SmolLM2-135M") {
  const std::string path = io_test::shared_data("smollm2/flatquant-w4a4kv4.safetensors");
  if (path.empty()) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const auto file = FlatQuantFile::open(path);
  REQUIRE(file.has_value());
  const FlatQuantSizes smollm2{.hidden = 576, .ffn = 1536, .heads = 9, .kv_heads = 3, .head_size = 64};
  for (planish::index layer = 0; layer < 30; ++layer) {
    CAPTURE(layer);
    const auto read = file->read(layer, smollm2);
    INFO(io_test::message_of(read.status()));
    REQUIRE(read.has_value());
    CHECK(read->transform(BlockSite::down).left.matrix.size() == 32 * 32);
    CHECK(read->clips_of(BlockMatrix::key).weight_rows.size() == 192);
    CHECK(read->clips_of(BlockMatrix::query).activation != read->clips_of(BlockMatrix::key).activation);
  }
  CHECK(file->read(30, smollm2).status().code() == ErrorCode::invalid_argument);
}

TEST_CASE("rows are clamped between their own clipped ends, which count 0 in") {
  std::vector<double> w{-4.0, 2.0, 1.0, 0.25, -1.0, -3.0, 3.0, 0.0, 6.0};
  const ClipPair clips[] = {{0.5f, 0.25f}, {0.5f, 0.5f}, {0.75f, 0.01f}};
  REQUIRE(clip_rows({w.data(), 3, 3}, clips).ok());
  CHECK(w == std::vector<double>{-1.0, 1.0, 1.0, 0.125, -1.0, -1.5, 3.0, 0.0, 4.5});
  CHECK(clip_rows({w.data(), 3, 3}, std::span(clips).first(2)).code() == ErrorCode::shape_mismatch);
}
