// A reader must see the old file or the new one, whatever happens to the writer.
#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/io/artefact.hpp>
#include <planish/io/artefact_writer.hpp>
#include <planish/io/safetensors_writer.hpp>

#include "files.hpp"

using namespace planish;
using namespace planish::io;
using namespace io_test;

namespace {

SafetensorsWriter floats(float value, std::size_t count) {
  SafetensorsWriter writer;
  const std::vector<float> values(count, value);
  REQUIRE(writer.add_floats("values", {static_cast<planish::index>(count)}, values).ok());
  return writer;
}

float first_value(const std::string& path) {
  const auto file = SafetensorsFile::open(path);
  REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
  return (*file->read_floats(*file->find("values")))[0];
}

}  // namespace

TEST_CASE("SafetensorsWriter: refuses what it could not read back") {
  SafetensorsWriter writer;
  const std::vector<float> two = {1.0f, 2.0f};
  CHECK(writer.add_floats("a", {2}, two).ok());
  CHECK(message_of(writer.add_floats("a", {2}, two)) == "tensor 'a': the name comes twice");
  CHECK(writer.add_floats("b", {3}, two).code() == ErrorCode::shape_mismatch);
  CHECK(writer.add_floats("b", {-2, -1}, two).code() == ErrorCode::shape_mismatch);
  CHECK(writer.add_floats("__metadata__", {2}, two).code() == ErrorCode::invalid_argument);
  CHECK(writer.add_floats("\xff", {2}, two).code() == ErrorCode::invalid_argument);
  CHECK(writer.set_metadata("k", "\xc0").code() == ErrorCode::invalid_argument);
  CHECK(writer.tensors().size() == 1);
}

TEST_CASE("writing where no file may be replaced: the one that came first stays, with whoever has it open") {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& text, bool commits) {
    auto file = AtomicFile::create(folder / "f");
    REQUIRE(file.has_value());
    REQUIRE(file->write(std::as_bytes(std::span(text))).ok());
    if (commits) CHECK(file->commit_if_absent().ok());
  };
  write("lost", false);
  CHECK_FALSE(std::filesystem::exists(folder / "f"));
  write("first", true);
  write("second", true);
  const auto file = MappedFile::open(folder / "f");
  REQUIRE(file.has_value());
  CHECK(std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()) == "first");
  CHECK(std::distance(std::filesystem::directory_iterator(folder / ""), std::filesystem::directory_iterator()) == 1);
}

TEST_CASE("writing: the new file takes the old one's place, nothing else is left") {
  const TemporaryFolder folder;
  REQUIRE(floats(1.0f, 100).write(folder / "f").ok());
  REQUIRE(floats(2.0f, 10).write(folder / "f").ok());
  CHECK(first_value(folder / "f") == 2.0f);
  CHECK(folder.names() == std::vector<std::string>{"f"});

  // A file that is open keeps its content, and a link keeps leading to the file.
  const auto open = SafetensorsFile::open(folder / "f");
  std::filesystem::create_symlink(folder / "f", folder / "link");
  REQUIRE(floats(3.0f, 10).write(folder / "link").ok());
  CHECK((*open->read_floats(*open->find("values")))[0] == 2.0f);
  CHECK(first_value(folder / "f") == 3.0f);
  CHECK(std::filesystem::is_symlink(folder / "link"));

  // Permissions stay what they were.
  REQUIRE(::chmod((folder / "f").c_str(), 0600) == 0);
  REQUIRE(floats(4.0f, 10).write(folder / "f").ok());
  CHECK(std::filesystem::status(folder / "f").permissions() == static_cast<std::filesystem::perms>(0600));
}

TEST_CASE("writing: places that cannot be written") {
  const TemporaryFolder folder;
  const auto writer = floats(1.0f, 10);
  CHECK(message_of(writer.write(folder / "none/f")) ==
        folder / "none/f" + ": cannot create a file beside it: No such file or directory");
  CHECK(contains(message_of(writer.write(folder.path())), "not a regular file"));
  CHECK(contains(message_of(writer.write("/dev/full")), "not a regular file"));
  CHECK(folder.names().empty());
}

TEST_CASE("writing: a folder that came meanwhile is not replaced, and nothing else is left") {
  const TemporaryFolder folder;
  auto file = AtomicFile::create(folder / "f");
  REQUIRE(file.has_value());
  std::filesystem::create_directory(folder / "f");
  CHECK(message_of(file->commit()) == folder / "f" + ": cannot replace: Is a directory");
  CHECK(folder.names() == std::vector<std::string>{"f"});
}

TEST_CASE("writing: a file that may not grow is reported and the old one kept") {
  const TemporaryFolder folder;
  const std::string path = folder / "f";
  REQUIRE(floats(1.0f, 100).write(path).ok());
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{65536, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const Status status = floats(2.0f, 1'000'000).write(path);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(message_of(status) == path + ": cannot write: File too large");
  CHECK(first_value(path) == 1.0f);
  CHECK(folder.names() == std::vector<std::string>{"f"});
}

TEST_CASE("writing: a full disk is reported and the old file kept") {
  const TemporaryFolder folder;
  const std::string disk = folder / "disk";
  REQUIRE(::mkdir(disk.c_str(), 0700) == 0);
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=64k") != 0) {
    MESSAGE("skipped: no right to mount a small disk here");
    return;
  }
  const std::string path = disk + "/f";
  CHECK(floats(1.0f, 100).write(path).ok());
  const Status status = floats(2.0f, 1'000'000).write(path);
  CHECK(message_of(status) == path + ": cannot write: No space left on device");
  CHECK(status.code() == ErrorCode::io);
  CHECK(first_value(path) == 1.0f);
  CHECK(std::distance(std::filesystem::directory_iterator(disk), std::filesystem::directory_iterator()) == 1);
  CHECK(::umount(disk.c_str()) == 0);
}

TEST_CASE("writing: a killed process leaves a whole artefact") {
  const TemporaryFolder folder;
  const std::string path = folder / "f";
  Random random(5);
  INFO("seed 5");
  const auto write = [&path](float value) {
    const std::vector<float> values(200'000, value);
    ArtefactWriter writer;
    return writer.add_floats("values", {200'000}, values).ok() && writer.write(path).ok();
  };
  REQUIRE(write(0.0f));
  for (int round = 0; round < 8; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (float value = 1.0f;; value += 1.0f)
        if (!write(value)) ::_exit(1);
    }
    ::usleep(static_cast<useconds_t>(2000 + random.below(30'000)));
    REQUIRE(::kill(child, SIGKILL) == 0);
    int how = 0;
    REQUIRE(::waitpid(child, &how, 0) == child);
    CHECK(WIFSIGNALED(how));
    const auto file = Artefact::open(path);
    REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
    const auto values = file->read_floats("values");
    REQUIRE(values);
    CHECK(values->front() == values->back());
  }
}
