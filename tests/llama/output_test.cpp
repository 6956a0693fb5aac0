#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures.hpp"
#include "llama/error.hpp"
#include "llama/json_output.hpp"
#include "llama/memory.hpp"
#include "llama/progress.hpp"
#include "llama/text_source.hpp"

using namespace llama;

TEST_CASE("texts that cannot be used are refused by name") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(static_cast<void>(read_text(folder.file("none.txt"))), doctest::Contains("No such file"), Error);
  CHECK_THROWS_WITH_AS(static_cast<void>(read_text(folder.file("."))), doctest::Contains("is a folder"), Error);
  std::ofstream(folder.file("empty.txt")).flush();
  CHECK_THROWS_WITH_AS(static_cast<void>(read_text(folder.file("empty.txt"))), doctest::Contains("empty.txt: is empty"),
                       Error);
  std::ofstream(folder.file("text.txt"), std::ios::binary) << std::string("a\0b\r\n", 5);
  CHECK(read_text(folder.file("text.txt")) == std::string("a\0b\r\n", 5));
}

TEST_CASE("windows do not overlap and leave out the rest") {
  std::vector<int> ids(25);
  std::iota(ids.begin(), ids.end(), 0);
  const Windows windows(ids, 8, "text");
  CHECK(windows.count() == 3);
  CHECK(windows.predictions() == 21);
  CHECK(windows[0].front() == 0);
  CHECK(windows[2].front() == 16);
  CHECK(windows[2].size() == 8);
  CHECK(Windows(ids, 8, "text", 17).count() == 2);
  CHECK(Windows(ids, 8, "text", 1000).count() == 3);
  CHECK_THROWS_WITH_AS(Windows(ids, 26, "a.txt"), doctest::Contains("a.txt: 25 tokens do not fill one window of 26"),
                       Error);
  CHECK_THROWS_AS(Windows(ids, 1, "a.txt"), Error);
}

TEST_CASE("JSON is written whole, in order, and without NaN") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("out.json");
  write_json(path, Json{{"z", 1}, {"a", std::numeric_limits<double>::quiet_NaN()}, {"text", "bad \xff"}});
  CHECK(read_text(path) == "{\n  \"z\": 1,\n  \"a\": null,\n  \"text\": \"bad \ufffd\"\n}\n");
  CHECK_THROWS_WITH_AS(write_json(folder.file("missing/out.json"), Json{}), doctest::Contains("out.json"), Error);
  write_json(path, Json::array());
  CHECK(read_text(path) == "[]\n");
}

TEST_CASE("memory is measured, and its peak starts again") {
  if (current_memory_bytes() == 0) {
    MESSAGE("skipped: this system does not say");
    return;
  }
  (void)reset_peak_memory();  // gives back what earlier tests freed: the block must not come out of that
  const std::int64_t before = current_memory_bytes();
  constexpr std::int64_t size = 64 << 20;
  {
    std::vector<char> block(static_cast<std::size_t>(size));
    volatile char* bytes = block.data();  // volatile: a block that nobody reads need never be made
    for (std::int64_t at = 0; at < size; at += 4096) bytes[at] = 1;
    CHECK(current_memory_bytes() >= before + size / 2);
  }
  CHECK(peak_memory_bytes() >= before + size / 2);
  if (reset_peak_memory())
    CHECK(peak_memory_bytes() < current_memory_bytes() + size / 2);
  else
    MESSAGE("skipped: the peak cannot be reset here");
}

TEST_CASE("durations for readers") {
  CHECK(duration_text(0.04) == "0.0 s");
  CHECK(duration_text(9.94) == "9.9 s");
  CHECK(duration_text(9.96) == "10 s");
  CHECK(duration_text(99.0) == "99 s");
  CHECK(duration_text(185.0) == "3:05");
  CHECK(duration_text(3729.0) == "1:02:09");
  CHECK(duration_text(-1.0) == "-");
}

TEST_CASE("a progress line says share, speed and what is left") {
  CHECK(progress_line("scoring", 1024, 4096, "tokens", 2.0) == "scoring  25 %  512 tokens/s  6.0 s left");
  CHECK(progress_line("scoring", 4095.9, 4096, "tokens", 2.0) == "scoring  99 %  2048 tokens/s  0.0 s left");
  CHECK(progress_line("scoring", 0, 4096, "tokens", 2.0) == "scoring  0 %");
}

TEST_CASE("short work shows nothing, longer work shows lines where there is no terminal") {
  std::FILE* out = std::tmpfile();
  REQUIRE(out != nullptr);
  {
    Progress progress("fast", 10, "steps", out);
    progress.advance(10);
  }
  CHECK(std::ftell(out) == 0);
  {
    Progress progress("slow", 10, "steps", out);
    progress.advance(3);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    progress.advance(2);
    progress.advance(2);  // within ten seconds of the last line: silent
  }
  std::rewind(out);
  std::string text(200, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), out));
  std::fclose(out);
  CHECK(text.find("slow  50 %  4.") == 0);
  CHECK(text.find("\nslow  1.1 s\n") != std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
}
