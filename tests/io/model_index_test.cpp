#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <planish/io/model_index.hpp>
#include <planish/io/safetensors_writer.hpp>

#include "files.hpp"

using namespace planish;
using namespace planish::io;
using namespace io_test;

namespace {

void write_shard(const std::string& path, std::initializer_list<const char*> names) {
  SafetensorsWriter writer;
  float value = 1.0f;
  for (const char* name : names) REQUIRE(writer.add_floats(name, {1}, std::vector<float>{value++}).ok());
  REQUIRE(writer.write(path).ok());
}

void write_text(const std::string& path, std::string_view text) { write_bytes(path, std::as_bytes(std::span(text))); }

}  // namespace

TEST_CASE("SafetensorsModel: one file, by its path or its folder") {
  const TemporaryFolder folder;
  write_shard(folder / "model.safetensors", {"b", "a"});
  for (const std::string& path : {folder.path(), folder / "model.safetensors"}) {
    const auto model = SafetensorsModel::open(path);
    REQUIRE_MESSAGE(model.has_value(), message_of(model.status()));
    CHECK(model->names() == std::vector<std::string_view>{"a", "b"});
    const ModelTensor found = model->find("a");
    CHECK((*found.file->read_floats(*found.tensor))[0] == 2.0f);
    CHECK(model->find("c").tensor == nullptr);
    CHECK(contains(message_of(model->get("c").status()), "tensor 'c': is not in this model"));
  }
}

TEST_CASE("SafetensorsModel: shards with an index") {
  const TemporaryFolder folder;
  write_shard(folder / "model-1.safetensors", {"a", "b"});
  write_shard(folder / "model-2.safetensors", {"c"});
  const std::string index = folder / "model.safetensors.index.json";
  write_text(index,
             R"({"metadata":{"total_size":12},"weight_map":{"c":"model-2.safetensors","a":"model-1.safetensors",)"
             R"("b":"model-1.safetensors"}})");
  for (const std::string& path : {folder.path(), index}) {
    const auto model = SafetensorsModel::open(path);
    REQUIRE_MESSAGE(model.has_value(), message_of(model.status()));
    CHECK(model->files().size() == 2);
    CHECK(model->names() == std::vector<std::string_view>{"a", "b", "c"});
    const auto found = model->get("b");
    REQUIRE(found);
    CHECK((*found->file->read_floats(*found->tensor))[0] == 2.0f);
    CHECK(found->file->path() == folder / "model-1.safetensors");
  }
}

TEST_CASE("SafetensorsModel: an index that lies") {
  const TemporaryFolder folder;
  write_shard(folder / "model-1.safetensors", {"a"});
  const std::string index = folder / "model.safetensors.index.json";
  const auto refused = [&](std::string_view text) {
    write_text(index, text);
    const Status status = SafetensorsModel::open(folder.path()).status();
    CHECK(is_good_message(status, folder.path()));
    return message_of(status);
  };
  CHECK(contains(refused(R"({"weight_map":{"x":"model-1.safetensors"}})"), "tensor 'x': is not in this file"));
  CHECK(contains(refused(R"({"weight_map":{"a":"model-9.safetensors"}})"), "model-9.safetensors: cannot open"));
  for (const char* name : {"../model-1.safetensors", "/etc/passwd", "", "..", "a/b", "x\\u0000y"})
    CHECK(contains(refused("{\"weight_map\":{\"a\":\"" + std::string(name) + "\"}}"), "is not a plain name"));
  CHECK(contains(refused("{}"), "has no weight_map"));
  CHECK(contains(refused(R"({"weight_map":{"a":1}})"), "JSON at byte"));
  CHECK(contains(refused(""), "JSON at byte 0"));
  const TemporaryFolder empty;
  CHECK(contains(message_of(SafetensorsModel::open(empty.path()).status()), "holds neither model.safetensors nor"));
}

TEST_CASE("SafetensorsModel: a tensor is found by its whole name alone") {
  const TemporaryFolder folder;
  write_shard(folder / "model.safetensors", {"d", "b"});
  const auto model = SafetensorsModel::open(folder.path());
  REQUIRE(model);
  for (const char* name : {"", "a", "bb", "c", "e"}) {
    CHECK(model->find(name).tensor == nullptr);
    CHECK(model->find(name).file == nullptr);
  }
}
