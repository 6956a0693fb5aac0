#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/io/artefact_format.hpp>
#include <planish/io/checked_size.hpp>
#include <planish/io/safetensors_header.hpp>
#include <planish/io/sha256.hpp>

namespace pl = planish;

namespace {

using pl::index;
using pl::io::detail::count_elements;
using pl::io::detail::least_table_bytes;
using pl::io::detail::most_size;
using pl::io::detail::multiply_sizes;
using pl::io::detail::tables_fit;

TEST_CASE("a product of sizes fits an index, or is refused with the sizes that do not") {
  std::uint64_t product = 7;
  const auto is = [&](std::uint64_t a, std::uint64_t b, std::uint64_t expected) {
    return multiply_sizes(a, b, product) && product == expected;
  };
  CHECK(is(most_size, 1, most_size));
  CHECK(is(1, most_size, most_size));
  CHECK(is(most_size, 0, 0));
  CHECK(is(0, most_size, 0));
  CHECK(is(6, 7, 42));
  CHECK(is(most_size / 3, 3, most_size / 3 * 3));
  for (const std::uint64_t more : {most_size + 1, ~std::uint64_t{0}})
    for (const std::uint64_t other : {0u, 1u}) {
      CHECK_FALSE(multiply_sizes(more, other, product));
      CHECK_FALSE(multiply_sizes(other, more, product));
    }
  CHECK_FALSE(multiply_sizes(most_size / 3 + 1, 3, product));
  CHECK_FALSE(multiply_sizes(most_size, most_size, product));
}

TEST_CASE("elements of a shape: their product, 1 without extents, 0 with an empty one that does not hide the others") {
  constexpr index most = std::numeric_limits<index>::max();
  const auto count_of = [](std::vector<index> shape) {
    std::uint64_t count = 7;
    return count_elements(shape, count) ? static_cast<index>(count) : index{-1};
  };
  CHECK(count_of({}) == 1);
  CHECK(count_of({5}) == 5);
  CHECK(count_of({2, 3, 4}) == 24);
  CHECK(count_of({0}) == 0);
  CHECK(count_of({3, 0, 5}) == 0);
  CHECK(count_of({most, 1}) == most);
  CHECK(count_of({0, most}) == 0);
  CHECK(count_of({most, 0}) == 0);
  CHECK(count_of({-1}) == -1);
  CHECK(count_of({0, -1}) == -1);
  CHECK(count_of({most, 2, 0}) == -1);
}

TEST_CASE("tables may take 8 MiB, or twice the file") {
  for (const std::uint64_t file : {std::uint64_t{0}, least_table_bytes / 2 - 1}) {
    CHECK(tables_fit(least_table_bytes, 1, file));
    CHECK(tables_fit(least_table_bytes / 64, 64, file));
    CHECK_FALSE(tables_fit(least_table_bytes + 2, 1, file));
    CHECK_FALSE(tables_fit(least_table_bytes / 64 + 1, 64, file));
  }
  const std::uint64_t file = 100 * least_table_bytes;
  CHECK(tables_fit(2 * file, 1, file));
  CHECK(tables_fit(file, 2, file));
  CHECK_FALSE(tables_fit(2 * file + 2, 1, file));
  CHECK_FALSE(tables_fit(most_size, 2, most_size));
}

TEST_CASE("a header lists as many entries and strings as tables of 8 MiB hold where the data are less") {
  const auto read = [](const std::string& header) {
    std::string file(8, '\0');
    const std::uint64_t size = header.size();
    for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(size >> (8 * i) & 255);
    file += header;
    return pl::io::read_safetensors_header("f", std::as_bytes(std::span(file))).status();
  };
  const auto list = [](std::size_t count, const char* value) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":" + value;
    return text;
  };
  const auto entries = [&](std::size_t count) {
    return read('{' + list(count, R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})") + '}');
  };
  const auto strings = [&](std::size_t count) { return read("{\"__metadata__\":{" + list(count, "\"\"") + "}}"); };
  const auto most = [](std::size_t size) { return least_table_bytes / (3 * size + 5 * sizeof(std::string)); };
  const std::size_t most_entries = most(sizeof(pl::io::detail::SafetensorsEntry));
  const std::size_t most_strings = most(sizeof(pl::io::Metadata::value_type));
  CHECK(entries(most_entries).ok());
  CHECK(entries(most_entries + 1).message().find("too many entries") != std::string_view::npos);
  CHECK(strings(most_strings).ok());
  CHECK(strings(most_strings + 1).message().find("too many entries") != std::string_view::npos);
  CHECK(read("").message() == "f: not a safetensors file: the header is no JSON object");
  CHECK(read(R"({"t":{"dtype":"U8","shape":[0,9223372036854775807],"data_offsets":[0,0]}})").ok() ==
        (sizeof(index) == 8));
  std::string longest("\x00\xe1\xf5\x05\x00\x00\x00\x00{}", 10);  // says 100'000'000 bytes
  CHECK(pl::io::read_safetensors_header("f", std::as_bytes(std::span(longest))).status().message() ==
        "f: the header has 100000000 bytes, but the file ends after 2 of them");
}

TEST_CASE("a description of codes has all its members, each in its range") {
  pl::io::CodesDescription is;
  const auto read = [&](const std::string& rows, const std::string& columns, int bits, const std::string& group) {
    return pl::io::CodesDescription::from_json("{\"rows\":" + rows + ",\"columns\":" + columns +
                                                   ",\"bits\":" + std::to_string(bits) +
                                                   ",\"symmetric\":true,\"group_size\":" + group + "}",
                                               is);
  };
  const std::string most = std::to_string(most_size), more = std::to_string(most_size + 1);
  for (int bits = 0; bits <= 10; ++bits) CHECK(read("2", "3", bits, "3") == (bits >= 2 && bits <= 8));
  CHECK((read(most, "3", 4, "3") && is.rows == std::numeric_limits<index>::max()));
  CHECK((read("2", most, 4, "3") && is.columns == std::numeric_limits<index>::max()));
  CHECK((read("2", "3", 4, most) && is.group_size == std::numeric_limits<index>::max()));
  CHECK((read("0", "0", 4, "1") && is.rows == 0 && is.columns == 0 && is.group_size == 1));
  CHECK_FALSE(read(more, "3", 4, "3"));
  CHECK_FALSE(read("2", more, 4, "3"));
  CHECK_FALSE(read("2", "3", 4, more));
  CHECK_FALSE(read("2", "3", 4, "0"));
  const std::string good = R"({"rows":2,"columns":3,"bits":4,"symmetric":true,"group_size":3})";
  CHECK(pl::io::CodesDescription::from_json(good, is));
  for (const std::string member : {"rows", "columns", "bits", "symmetric", "group_size"}) {
    std::string other = good;
    other.replace(other.find(member), member.size(), "other");
    CHECK_FALSE(pl::io::CodesDescription::from_json(other, is));
  }
}

TEST_CASE("SHA-256 of lengths around its padding's") {
  const auto hash_of = [](std::size_t size) {
    pl::io::Sha256 hash;
    hash.update(std::string(size, 'a'));
    return hash.finish_hex();
  };
  CHECK(hash_of(55) == "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  CHECK(hash_of(56) == "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
  CHECK(hash_of(63) == "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
  CHECK(hash_of(64) == "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
  CHECK(hash_of(119) == "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
  CHECK(hash_of(120) == "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c");
  pl::io::Sha256 empty_pieces;
  empty_pieces.update("");
  empty_pieces.update(std::string(55, 'a'));
  empty_pieces.update("");
  CHECK(empty_pieces.finish_hex() == hash_of(55));
}

}  // namespace
