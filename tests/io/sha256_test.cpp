#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/io/sha256.hpp>

#include "files.hpp"

using planish::io::Sha256;

namespace {
std::string hash_of(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.finish_hex();
}
}  // namespace

TEST_CASE("SHA-256: the examples of FIPS 180-4") {
  CHECK(hash_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hash_of(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256: pieces of any size give the hash of the whole") {
  planish::Random random(11);
  INFO("seed 11");
  for (std::size_t size : {0u, 1u, 55u, 56u, 63u, 64u, 65u, 119u, 120u, 128u, 1000u}) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random.below(256));
    Sha256 hash;
    for (std::size_t at = 0; at < size;) {
      const auto part = static_cast<std::size_t>(1 + random.below(70));
      hash.update(std::string_view(text).substr(at, part));
      at += part;
    }
    CAPTURE(size);
    CHECK(hash.finish_hex() == hash_of(text));
  }
}

TEST_CASE("SHA-256 of a file") {
  const io_test::TemporaryFolder folder;
  io_test::write_bytes(folder / "abc", std::as_bytes(std::span("abc", 3)));
  CHECK(*planish::io::sha256_of_file(folder / "abc") == hash_of("abc"));
  CHECK_FALSE(planish::io::sha256_of_file(folder / "none").has_value());
}
