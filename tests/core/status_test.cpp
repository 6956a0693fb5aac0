#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <planish/core/result.hpp>

using planish::ErrorCode;
using planish::Result;
using planish::Status;

TEST_CASE("Status: joins text, characters and whole numbers") {
  const std::string file = "model.gguf";
  const Status status(ErrorCode::malformed, file, ": tensor '", "blk.0", "' has ", -3, " rows", '!',
                      std::uint64_t{18446744073709551615u});
  CHECK(status.message() == "model.gguf: tensor 'blk.0' has -3 rows!18446744073709551615");
  CHECK(status.code() == ErrorCode::malformed);
  CHECK_FALSE(status.ok());
  CHECK(Status(ErrorCode::io, std::numeric_limits<std::int64_t>::min()).message() == "-9223372036854775808");
  CHECK(Status().ok());
}

TEST_CASE("Status: longer text is cut, never written past the end") {
  const std::string text(2 * Status::capacity, 'x');
  CHECK(Status(ErrorCode::io, text).message().size() == Status::capacity);
}

TEST_CASE("Status: its text, what ends it, its length and code, of one size in every unit") {
  const Status whole(ErrorCode::io, std::string(Status::capacity, 'x'));
  CHECK(whole.message().size() == Status::capacity);
  CHECK(whole.message().data()[Status::capacity] == '\0');
  CHECK(sizeof(Status) == (Status::capacity + 1) + sizeof(std::uint16_t) + 2 * sizeof(ErrorCode));  // one idle
}

TEST_CASE("Result: holds a move-only value or the reason why not") {
  Result<std::unique_ptr<int>> good(std::make_unique<int>(7));
  REQUIRE(good.has_value());
  CHECK(good.status().ok());
  Result<std::unique_ptr<int>> moved(std::move(good));
  CHECK(**moved == 7);
  moved = Result<std::unique_ptr<int>>(Status(ErrorCode::singular, "no inverse"));
  CHECK_FALSE(moved.has_value());
  CHECK(moved.status().message() == "no inverse");
}

TEST_CASE("Result: the throwing spelling carries code and sentence") {
  CHECK(planish::value_or_throw(Result<int>(4)) == 4);
  try {
    (void)planish::value_or_throw(Result<int>(Status(ErrorCode::shape_mismatch, "3 is not 4")));
    FAIL("must throw");
  } catch (const planish::Error& error) {
    CHECK(error.code() == ErrorCode::shape_mismatch);
    CHECK(std::string(error.what()) == "3 is not 4");
  }
}
