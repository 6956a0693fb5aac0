#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>

#include "files.hpp"

using namespace planish;
using namespace io_test;

namespace {

const std::string two_tensors =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
    R"("b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})";

Status status_of(std::string_view header, std::size_t data_bytes) {
  return open_safetensors(safetensors_bytes(header, data_bytes)).status();
}

/// One tensor `t` with these members.
Status status_of_entry(std::string_view members, std::size_t data_bytes) {
  return status_of("{\"t\":{" + std::string(members) + "}}", data_bytes);
}

}  // namespace

TEST_CASE("safetensors: cut at every byte") {
  const Bytes whole = safetensors_bytes(two_tensors, 19);
  REQUIRE(open_safetensors(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Status status =
        open_safetensors(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))).status();
    CAPTURE(size);
    CHECK(is_good_message(status, "memory: "));
    CHECK(status.code() == ErrorCode::malformed);
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  CHECK(contains(message_of(open_safetensors(longer).status()), "end at data byte 19, but the file has 20"));
}

TEST_CASE("safetensors: a header size from hell") {
  for (std::uint64_t size :
       {std::uint64_t{100'000'001}, ~std::uint64_t{0}, ~std::uint64_t{0} - 7, std::uint64_t{1} << 63,
        std::uint64_t{99'999'999}, std::uint64_t{two_tensors.size() + 20}}) {
    ByteBuilder file;
    file.value(size).raw(two_tensors).raw(std::string(19, 'x'));
    CAPTURE(size);
    CHECK(is_good_message(open_safetensors(file.bytes).status(), "memory: "));
  }
}

TEST_CASE("safetensors: each wrong entry has its own reason and names its tensor") {
  const std::pair<std::string, std::string> cases[] = {
      {R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", "shape and dtype need 8 bytes, data_offsets give 4"},
      {R"("dtype":"F32","shape":[2],"data_offsets":[8,0])", "data_offsets [8, 0) are reversed"},
      {R"("dtype":"F32","shape":[2],"data_offsets":[0,16])", "ends at data byte 16, but the file has only 8"},
      {R"("dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,18446744073709551615])", "ends at data byte"},
      {R"("dtype":"F4","shape":[16],"data_offsets":[0,8])", "unknown dtype 'F4'"},
      {R"("dtype":"f32","shape":[2],"data_offsets":[0,8])", "unknown dtype 'f32'"},
      {R"("shape":[2],"data_offsets":[0,8])", "has no dtype"},
      {R"("dtype":"F32","data_offsets":[0,8])", "has no shape"},
      {R"("dtype":"F32","shape":[2])", "has no data_offsets"},
      {R"("dtype":"F32","shape":[1],"data_offsets":[4,8])", "begins at data byte 4, leaving a hole"},
  };
  for (const auto& wrong : cases) {
    const std::string &members = wrong.first, &reason = wrong.second;
    const Status status = status_of_entry(members, 8);
    CAPTURE(members);
    CHECK_MESSAGE(contains(message_of(status), reason), message_of(status));
    CHECK(message_of(status).starts_with("memory: tensor 't': "));
  }
}

TEST_CASE("safetensors: shapes of more than any memory holds") {
  for (const char* members : {R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8])",
                              R"("dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,8])",
                              R"("dtype":"U8","shape":[0,4611686018427387904,4],"data_offsets":[0,0])"}) {
    CAPTURE(members);
    CHECK(contains(message_of(status_of_entry(members, 8)), shape_overflow));
  }
}

TEST_CASE("safetensors: what is not the JSON of a header") {
  for (const char* header : {"",
                             " {}",
                             "[]",
                             "{",
                             "{]",
                             "null",
                             "{\"t\":1}",
                             "{\"t\":[]}",
                             "{\"t\":null}",
                             "{\"__metadata__\":{\"a\":1}}",
                             "{\"__metadata__\":{\"a\":null}}",
                             "{\"__metadata__\":[]}",
                             "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}",
                             "{\"t\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,0]}}",
                             "{\"t\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}",
                             "{\"t\":{\"dtype\":\"U8\",\"shape\":[9223372036854775808],\"data_offsets\":[0,1]}}",
                             "{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}",
                             "{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}",
                             "{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,18446744073709551616]}}",
                             "{\"t\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}",
                             "{\"t\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}",
                             "{\"t\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                             "{\"t\":{\"dtype\":\"U8\",\"shape\":[[[[1]]]],\"data_offsets\":[0,1]}}",
                             "{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}} x",
                             "{\"\xff\":{}}"}) {
    const Status status = status_of(header, 1);
    CAPTURE(header);
    CHECK_MESSAGE(is_good_message(status, "memory: "), message_of(status));
    CHECK(status.code() == ErrorCode::malformed);
  }
}

TEST_CASE("safetensors: ranges that overlap or leave holes") {
  const auto two = [](int b1, int e1, int b2, int e2, std::size_t data) {
    const auto entry = [](const char* name, int begin, int end) {
      return '"' + std::string(name) + R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) +
             R"(],"data_offsets":[)" + std::to_string(begin) + ',' + std::to_string(end) + "]}";
    };
    return status_of('{' + entry("first", b1, e1) + ',' + entry("second", b2, e2) + '}', data);
  };
  CHECK(two(0, 4, 4, 8, 8).ok());
  CHECK(two(4, 8, 0, 4, 8).ok());
  CHECK(two(0, 0, 0, 8, 8).ok());
  CHECK(two(0, 8, 8, 8, 8).ok());
  CHECK(contains(message_of(two(0, 5, 4, 8, 8)), "tensor 'second': begins at data byte 4, inside"));
  CHECK(contains(message_of(two(0, 8, 0, 8, 8)), "inside the tensor before it"));
  CHECK(contains(message_of(two(0, 8, 4, 4, 8)), "inside the tensor before it"));
  CHECK(contains(message_of(two(0, 3, 4, 8, 8)), "leaving a hole"));
  CHECK(contains(message_of(two(0, 4, 4, 7, 8)), "the tensors end at data byte 7, but the file has 8"));
  CHECK(contains(message_of(status_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                      R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                      2)),
                 "key comes twice: 'a'"));
}

TEST_CASE("safetensors: members of an entry that are not known are passed over") {
  CHECK(status_of_entry(R"("dtype":"U8","note":{"x":[1]},"shape":[1],"data_offsets":[0,1])", 1).ok());
}

TEST_CASE("safetensors: a hostile name stays on one line and leaves room for the reason") {
  const std::string name = std::string(5000, 'n') + "\\n\\u001b[2J";
  const Status status = status_of("{\"" + name + R"(":{"dtype":"F99","shape":[1],"data_offsets":[0,1]}})", 1);
  CHECK(is_good_message(status, "memory: tensor 'nnn"));
  CHECK(contains(message_of(status), "unknown dtype 'F99'"));
  CHECK_FALSE(contains(message_of(status), "\x1b"));
}

TEST_CASE("files that are not there, or not files") {
  const TemporaryFolder folder;
  const auto missing = io::SafetensorsFile::open(folder / "missing");
  CHECK(message_of(missing.status()) == folder / "missing" + ": cannot open: No such file or directory");
  CHECK(missing.status().code() == ErrorCode::io);
  CHECK(contains(message_of(io::SafetensorsFile::open(folder.path()).status()), "is a directory, not a file"));
  CHECK(contains(message_of(io::GgufFile::open("/dev/null").status()), "is not a regular file"));
  write_bytes(folder / "empty", {});
  CHECK(contains(message_of(io::SafetensorsFile::open(folder / "empty").status()), "only 0 bytes"));
  CHECK(contains(message_of(io::GgufFile::open(folder / "empty").status()), "not a GGUF file"));
}
