// Files by C++'s own library alone, as systems that are not POSIX get them, against what POSIX systems get.
#include <algorithm>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <type_traits>

#include <doctest/doctest.h>

#include <planish/io/posix_file_bytes.hpp>
#include <planish/io/posix_output_file.hpp>
#include <planish/io/standard_file_bytes.hpp>
#include <planish/io/standard_output_file.hpp>

#include "files.hpp"

using namespace io_test;
namespace fs = std::filesystem;
namespace system_files = planish::io::detail;

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class OutputFile>
std::string written(const std::string& path, std::string_view text, bool keeps_other) {
  OutputFile file;
  if (auto status = file.create(path); !status.ok()) return message_of(status);
  if (auto status = file.write(std::as_bytes(std::span(text))); !status.ok()) return message_of(status);
  return message_of(file.place(keeps_other));
}
template <class FileBytes>
std::string loaded(const std::string& path, std::string& text) {
  FileBytes file;
  if (auto status = file.load(path); !status.ok()) return message_of(status);
  const void* bytes = file.mapping != nullptr ? file.mapping : file.copy.data();
  text.assign(static_cast<const char*>(bytes), file.size);
  if (file.mapping != nullptr) file.unmap();
  return {};
}

}  // namespace

TEST_CASE_TEMPLATE("an output file is there whole or not at all", OutputFile, system_files::PosixOutputFile,
                   system_files::StandardOutputFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "file", link = folder / "link";
  CHECK(written<OutputFile>(path, "first", false) == "");
  CHECK(text_of(path) == "first");
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
  fs::create_symlink(path, link);
  CHECK(written<OutputFile>(link, "second", false) == "");
  CHECK((text_of(path) == "second" && fs::is_symlink(link)));
  CHECK(fs::status(path).permissions() == (fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read));
  CHECK(written<OutputFile>(path, "third", true) == "");
  CHECK(text_of(path) == "second");
  CHECK(written<OutputFile>(folder / "other", "fourth", true) == "");
  CHECK(text_of(folder / "other") == "fourth");
  {
    OutputFile file;
    REQUIRE(file.create(path).ok());
    REQUIRE(file.write(std::as_bytes(std::span(std::string_view("lost")))).ok());
    OutputFile moved = std::move(file);
    CHECK(folder.names().size() == 4);
  }
  CHECK(text_of(path) == "second");
  CHECK(folder.names().size() == 3);
  CHECK(written<OutputFile>(folder.path(), "", false) ==
        folder.path() + ": cannot be replaced: it is not a regular file");
  CHECK(written<OutputFile>(folder / "none/file", "", false) ==
        (folder / "none/file") + ": cannot create a file beside it: No such file or directory");
}

TEST_CASE_TEMPLATE("an output file that cannot be written leaves the old one", OutputFile,
                   system_files::PosixOutputFile, system_files::StandardOutputFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  REQUIRE(written<OutputFile>(path, "old", false) == "");
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string short_error = written<OutputFile>(path, std::string(2000, 'x'), false);
  const std::string long_error = written<OutputFile>(path, std::string(1 << 20, 'x'), false);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(short_error == path + ": cannot write: File too large");
  CHECK(long_error == path + ": cannot write: File too large");
  CHECK(text_of(path) == "old");
  CHECK(folder.names().size() == 1);
}

TEST_CASE_TEMPLATE("the bytes of a file", FileBytes, system_files::PosixFileBytes, system_files::StandardFileBytes) {
  const TemporaryFolder folder;
  std::string text = "?";
  for (const std::size_t size : {0u, 1u, 4096u, 100001u}) {
    std::string expected(size, '\0');
    std::generate(expected.begin(), expected.end(), [i = 0]() mutable { return static_cast<char>(i++ % 251); });
    std::ofstream(folder / "file", std::ios::binary) << expected;
    REQUIRE(loaded<FileBytes>(folder / "file", text) == "");
    CHECK(text == expected);
  }
  CHECK(loaded<FileBytes>(folder.path(), text) == folder.path() + ": is a directory, not a file");
  CHECK(loaded<FileBytes>("/dev/zero", text) == "/dev/zero: is not a regular file");
  CHECK(loaded<FileBytes>(folder / "none", text) == (folder / "none") + ": cannot open: No such file or directory");
}

TEST_CASE("bytes in memory stay when pages are given back, and a file shorter than it says is an error") {
  const TemporaryFolder folder;
  std::ofstream(folder / "file", std::ios::binary) << "bytes";
  system_files::StandardFileBytes file;
  REQUIRE(file.load(folder / "file").ok());
  CHECK(file.mapping == nullptr);
  file.give_back();
  file.unmap();
  CHECK(std::string_view(reinterpret_cast<const char*>(file.copy.data()), file.size) == "bytes");

  // Linux says a page of files that are a few letters.
  const std::string few = "/sys/kernel/mm/transparent_hugepage/enabled";
  std::error_code error;
  if (fs::file_size(few, error) != 4096 || error) {
    MESSAGE("skipped: no file here says more than it has");
    return;
  }
  const std::string message = message_of(system_files::StandardFileBytes().load(few));
  CHECK(message == few + ": ends after " + std::to_string(text_of(few).size()) + " of 4096 bytes");
}

TEST_CASE_TEMPLATE("names that are taken beside an output file are passed over, and stay", OutputFile,
                   system_files::PosixOutputFile, system_files::StandardOutputFile) {
  const TemporaryFolder folder;
  OutputFile first;
  REQUIRE(first.create(folder / "file").ok());
  REQUIRE(folder.names().size() == 1);
  const std::string name = folder.names()[0];  // file. ... .NUMBER.tmp
  const std::size_t end = name.size() - 4, begin = name.rfind('.', end - 1) + 1;
  const int number = std::stoi(name.substr(begin, end - begin));
  const auto numbered = [&](int n) { return folder / (name.substr(0, begin) + std::to_string(n) + ".tmp"); };
  for (int i = 1; i <= 3; ++i) std::ofstream(numbered(number + i)) << "taken";
  OutputFile second;
  REQUIRE(second.create(folder / "file").ok());
  CHECK(folder.names().size() == 5);
  CHECK(fs::exists(numbered(number + 4)));
  REQUIRE(second.write(std::as_bytes(std::span(std::string_view("second")))).ok());
  CHECK(second.place(false).ok());
  CHECK(text_of(folder / "file") == "second");
  for (int i = 1; i <= 3; ++i) CHECK(text_of(numbered(number + i)) == "taken");
  if constexpr (std::is_same_v<OutputFile, system_files::PosixOutputFile>) {  // a hundred are too many
    for (int i = 5; i < 5 + 100; ++i) std::ofstream(numbered(number + i)) << "taken";
    CHECK(message_of(OutputFile().create(folder / "file")) ==
          folder / "file" + ": cannot create a file beside it: File exists");
    for (int i = 105; i < 105 + 99; ++i) std::ofstream(numbered(number + i)) << "taken";
    CHECK(OutputFile().create(folder / "file").ok());
  }
}
