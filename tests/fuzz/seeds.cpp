// seeds FOLDER: writes small valid inputs for every fuzz target into FOLDER/TARGET.
#define DOCTEST_CONFIG_IMPLEMENT
#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

#include <planish/calibration/methods/flatquant_tensors.hpp>
#include <planish/transform/dense.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/permutation.hpp>
#include <planish/transform/rotation.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>

#include "io/files.hpp"

namespace pl = planish;
namespace io = planish::io;
using io_test::Bytes;

namespace {

std::string root;

void write(const std::string& target, const std::string& name, std::span<const std::byte> bytes) {
  std::filesystem::create_directories(root + '/' + target);
  io_test::write_bytes(root + '/' + target + '/' + name, bytes);
}
void write(const std::string& target, const std::string& name, std::string_view text) {
  write(target, name, std::as_bytes(std::span(text)));
}

void safetensors() {
  write("safetensors", "empty", io_test::safetensors_bytes("{}", 0));
  write("safetensors", "kinds",
        io_test::safetensors_bytes(
            R"({"__metadata__":{"format":"pt","\u00fc":"\n"},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":)"
            R"([0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"c":{"dtype":"I64","shape":[],)"
            R"("data_offsets":[32,40]},"d":{"dtype":"U8","shape":[0,7],"data_offsets":[40,40]},)"
            R"("e":{"dtype":"F16","shape":[1,1,2],"data_offsets":[40,44],"later":[1,{"x":null}]}})",
            44));
}

Bytes numbers(int count) {
  io_test::ByteBuilder data;
  for (int i = 0; i < count; ++i) data.value(static_cast<std::uint8_t>(i * 37));
  return data.bytes;
}

void gguf() {
  io_test::GgufBuilder file;
  file.string("general.architecture", "llama").metadata<std::uint32_t>("general.alignment", 4, 32);
  file.metadata("rope", 6, 1e5f).metadata<std::uint8_t>("flag", 7, 1).metadata("wide", 12, 0.5);
  file.metadata<std::uint64_t>("size", 10, 5).metadata<std::int16_t>("small", 3, -2);
  file.array<std::string>("words", 8, {"a", "bc", ""}).array<float>("scores", 6, {1.0f, 2.0f});
  file.array<std::int32_t>("types", 5, {1, 2, 3});
  file.tensor("q8", {32, 2}, 8, 0).tensor("f32", {3}, 0, 96).tensor("q4_1", {64}, 3, 128).tensor("q4_0", {32}, 2, 192);
  file.tensor("f16", {2, 2}, 1, 224).tensor("bf16", {1}, 30, 256);
  write("gguf", "kinds", file.build(numbers(258)));
  write("gguf", "empty", io_test::GgufBuilder().build());
}

/// Codes of a few widths, stages of every kind.
void artefact() {
  io::ArtefactWriter writer;
  for (const int bits : {2, 4, 7})
    for (const auto symmetry : {pl::Symmetry::symmetric, pl::Symmetry::asymmetric}) {
      auto codes = *pl::Codes::make(3, 5, bits, symmetry, bits == 4 ? 2 : 0);
      for (float& scale : codes.scales()) scale = 0.5f;
      const char* kind = symmetry == pl::Symmetry::symmetric ? "s" : "a";
      static_cast<void>(writer.add_codes("w" + std::to_string(bits) + kind, codes.view()));
    }
  const std::vector<float> ones(4, 1.0f), offsets = {0.5f, -1.0f, 0.0f, 2.0f};
  const std::array<std::int32_t, 4> order = {2, 0, 3, 1};
  const pl::AnyTransform transforms[] = {
      pl::AnyTransform::identity(4),
      pl::AnyTransform(pl::Transform(*pl::Shift::make(offsets), *pl::Scale::make(ones))),
      pl::AnyTransform(*pl::Hadamard::make(4, 1)),
      pl::AnyTransform(*pl::Hadamard::make(12)),
      pl::AnyTransform(pl::Rotation::random(4, 2)),
      pl::AnyTransform(pl::Dense::random(4, 3)),
      pl::AnyTransform(*pl::Permutation::make(order)),
      pl::AnyTransform(pl::Kronecker(pl::Dense::random(2, 4), pl::Dense::random(3, 5))),
      pl::AnyTransform(pl::Kronecker(pl::Identity(2), *pl::Hadamard::make(4, 6))),
  };
  int number = 0;
  for (const pl::AnyTransform& transform : transforms)
    static_cast<void>(io::add_transform(writer, "t" + std::to_string(number++), transform));
  static_cast<void>(writer.add_clip("clip", {0.75f, 0.5f}));
  static_cast<void>(writer.set_recipe("w4a4kv4"));
  static_cast<void>(writer.set_model_sha256(std::string(64, 'a')));
  std::filesystem::create_directories(root + "/artefact");
  static_cast<void>(writer.write(root + "/artefact/whole"));
}

/// What FlatQuant learned for blocks of 4 channels, 6 in between, 2 heads of 2 that share one key and value:
/// everything, and only what may not be absent.
void flatquant() {
  namespace cal = pl::calibration;
  constexpr cal::FlatQuantSizes sizes{.hidden = 4, .ffn = 6, .heads = 2, .kv_heads = 1, .head_size = 2};
  const auto pair = [](pl::index size) {
    const pl::Dense stage = pl::Dense::random(size, 7);
    const float *matrix = stage.matrix<float>(), *inverse = stage.inverse_transpose<float>();
    return cal::MatrixPair{{matrix, matrix + size * size}, {inverse, inverse + size * size}};
  };
  for (const bool whole : {true, false}) {
    io::SafetensorsWriter writer;
    cal::FlatQuantParameters learned;
    for (const auto site : {cal::BlockSite::attention, cal::BlockSite::mlp, cal::BlockSite::down}) {
      if (!whole) continue;
      const pl::index channels = sizes.channels(site);
      learned.transform(site).scale.assign(static_cast<std::size_t>(channels), 0.5f);
      learned.transform(site).left = pair(2);
      learned.transform(site).right = pair(channels / 2);
    }
    if (whole)
      learned.transform(cal::BlockSite::output) = {.shift = {}, .scale = {}, .left = pair(2), .right = pair(2)};
    if (whole) learned.key_head = pair(2);
    for (std::size_t i = 0; i < cal::block_matrices; ++i) {
      const auto rows = static_cast<std::size_t>(sizes.rows(static_cast<cal::BlockMatrix>(i)));
      if (whole) learned.clips[i].weight_rows.assign(rows, {0.75f, 0.5f});
      learned.clips[i].activation = {1.0f, 0.5f};
    }
    for (const pl::index layer : {0, 1}) static_cast<void>(cal::add_flatquant(writer, layer, learned));
    std::filesystem::create_directories(root + "/flatquant");
    static_cast<void>(writer.write(root + "/flatquant/" + (whole ? "whole" : "clips")));
  }
}

void json() {
  write("json", "values", R"({"a":[1,-2.5e3,true,null,"\ud83d\ude00\u00e9\\"],"b":{"c":{"d":[]}}})");
  write("json", "codes", R"({"rows":2,"columns":4,"bits":4,"symmetric":false,"group_size":2})");
  write("json", "stages",
        R"({"size":4,"stages":[{"name":"scale","parameters":["factors"]},{"name":"x","parameters":[]}]})");
}

void recipe() {
  int number = 0;
  for (const char* text : {"fp32", "w4a4kv4+shift+scale+hadamard", "w4a16g128+gptq", "w8a8s,down=w8a16,head=w16a16",
                           "w4a4k2v8+flatquant+mse", "w2a8kv16g7+kronecker"})
    write("recipe", std::to_string(number++), text);
}

/// The length of a text in one byte, the text, then the file: what the targets of tokenizers take.
Bytes text_and_file(std::string_view text, std::span<const std::byte> file) {
  io_test::ByteBuilder all;
  all.value(static_cast<std::uint8_t>(text.size())).raw(text);
  all.bytes.insert(all.bytes.end(), file.begin(), file.end());
  return all.bytes;
}

void tokenizer() {
  const auto with_text = [](std::string_view text, const io_test::GgufBuilder& file) {
    return text_and_file(text, file.build());
  };
  using Words = std::vector<std::string>;
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe"}) {
    io_test::GgufBuilder file;
    file.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", pre);
    file.array<std::string>("tokenizer.ggml.tokens", 8,
                            Words{"<|end|>", "a", "b", "ab", "\u0120", "\u0120ab", "1", "\u0144"});
    file.array<std::int32_t>("tokenizer.ggml.token_type", 5, {3, 1, 1, 1, 1, 1, 1, 1});
    file.array<std::string>("tokenizer.ggml.merges", 8, Words{"a b", "\u0120 ab"});
    file.metadata<std::uint32_t>("tokenizer.ggml.eos_token_id", 4, 0);
    write("tokenizer", pre, with_text("ab abba 1 <|end|> \xc3\xa9\xff", file));
  }
  io_test::GgufBuilder file;
  file.string("tokenizer.ggml.model", "llama");
  file.array<std::string>("tokenizer.ggml.tokens", 8,
                          Words{"<unk>", "<s>", "\u2581", "a", "b", "ab", "<0xC3>", "<0xA9>"});
  file.array<float>("tokenizer.ggml.scores", 6, {0, 0, -9, -9, -9, -1, 0, 0});
  file.array<std::int32_t>("tokenizer.ggml.token_type", 5, {2, 3, 1, 1, 1, 1, 6, 6});
  file.metadata<std::uint32_t>("tokenizer.ggml.bos_token_id", 4, 1);
  file.metadata<std::uint32_t>("tokenizer.ggml.unknown_token_id", 4, 0);
  write("tokenizer", "sentence_piece", with_text("ab <s> \xc3\xa9 z", file));
}

void hugging_face() {
  const auto write_json = [](const char* name, std::string_view json) {
    write("hugging_face", name, text_and_file("ab 12 <s>abc", std::as_bytes(std::span(json))));
  };
  write_json("byte_level",
             R"({"added_tokens":[{"id":0,"content":"<s>","special":true,"lstrip":true}],"normalizer":null,)"
             R"("pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},"post_processor":null,)"
             R"("model":{"type":"BPE","vocab":{"<s>":0,"a":1,"b":2,"ab":3,"\u0120":4,"1":5},"merges":["a b"],)"
             R"("ignore_merges":false}})");
  write_json("splits",
             R"({"added_tokens":[],"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":)"
             R"([{"type":"Split","pattern":{"Regex":"[0-9]{1,3}"},"behavior":"Isolated","invert":false},)"
             R"({"type":"Digits","individual_digits":true},)"
             R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},)"
             R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]],"ignore_merges":true}})");
  write_json("sentence_piece",
             R"({"added_tokens":[{"id":0,"content":"<unk>","special":true}],"normalizer":{"type":"Sequence",)"
             R"("normalizers":[{"type":"Prepend","prepend":"\u2581"},{"type":"Replace","pattern":{"String":" "},)"
             R"("content":"\u2581"}]},"pre_tokenizer":null,"model":{"type":"BPE","unk_token":"<unk>",)"
             R"("byte_fallback":true,"fuse_unk":true,"vocab":{"<unk>":0,"\u2581":1,"a":2,"b":3,"ab":4,"<0x41>":5},)"
             R"("merges":["a b"]}})");
}

void sentence_piece() {
  // Fields of protocol buffers: a number is under key 8·field, bytes with their length under 8·field + 2, a float
  // under 8·field + 5.
  const auto number = [](io_test::ByteBuilder& to, int field, std::uint8_t value) {
    if (field >= 16) to.value(static_cast<std::uint8_t>(0x80 | (field * 8 & 0x7f))).value(std::uint8_t(field / 16));
    if (field < 16) to.value(static_cast<std::uint8_t>(field * 8));
    to.value(value);
  };
  const auto bytes = [](io_test::ByteBuilder& to, int field, std::span<const std::byte> value) {
    to.value(static_cast<std::uint8_t>(field * 8 + 2)).value(static_cast<std::uint8_t>(value.size()));
    to.bytes.insert(to.bytes.end(), value.begin(), value.end());
  };
  io_test::ByteBuilder model;
  const auto piece = [&](std::string_view token, float score, std::uint8_t type) {
    io_test::ByteBuilder one;
    bytes(one, 1, std::as_bytes(std::span(token)));
    one.value(static_cast<std::uint8_t>(2 * 8 + 5)).value(score);
    number(one, 3, type);
    bytes(model, 1, one.bytes);
  };
  piece("<unk>", 0, 2), piece("<s>", 0, 3), piece("</s>", 0, 3), piece("<0x41>", 0, 6);
  piece("\u2581", -3, 1), piece("a", -2, 1), piece("b", -2, 1), piece("ab", -1, 1);
  io_test::ByteBuilder trainer, normalizer;
  number(trainer, 3, 2);
  number(trainer, 40, 0), number(trainer, 41, 1), number(trainer, 42, 2);
  number(normalizer, 3, 1), number(normalizer, 4, 0);
  bytes(model, 2, trainer.bytes);
  bytes(model, 3, normalizer.bytes);
  write("sentence_piece", "model", text_and_file("ab A<s>", model.bytes));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("seeds FOLDER\n", stderr);
    return 2;
  }
  root = arguments[1];
  safetensors();
  gguf();
  artefact();
  flatquant();
  json();
  recipe();
  tokenizer();
  hugging_face();
  sentence_piece();
  return 0;
}
