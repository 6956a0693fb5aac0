// Files that cannot be mapped are read; memory that runs out, and files that are too short or too long, are said.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <malloc.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include <planish/io/gguf.hpp>
#include <planish/io/mapped_file.hpp>
#include <planish/io/model_index.hpp>
#include <planish/io/safetensors.hpp>
#include <planish/io/safetensors_writer.hpp>

#include "files.hpp"
#include "sanitizer_heap.hpp"

using namespace planish;
using namespace planish::io;
using namespace io_test;

#if !defined(SANITIZER_OWNS_HEAP) && defined(__GLIBC__)  // how much a heap keeps can be told to glibc alone
namespace {

std::size_t most_of_a_read = SIZE_MAX;

}  // namespace

/// The system's, which may give less than it is asked for, and here does.
extern "C" ssize_t read(int file, void* to, std::size_t size) {
  return ::syscall(SYS_read, file, to, std::min(size, most_of_a_read));
}

namespace {

constexpr std::size_t eight_mebibytes = std::size_t{8} << 20;

/// While it lives, the process gets no more address space: mappings fail, and what the heap has left is all there is.
class NoMoreAddressSpace {
 public:
  NoMoreAddressSpace() {
    REQUIRE(::getrlimit(RLIMIT_AS, &before_) == 0);
    const rlimit none{1, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_AS, &none) == 0);
  }
  NoMoreAddressSpace(const NoMoreAddressSpace&) = delete;
  NoMoreAddressSpace& operator=(const NoMoreAddressSpace&) = delete;
  ~NoMoreAddressSpace() { ::setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

/// False where such a limit is not kept, as QEMU's user mode does not: nothing can be tried there.
bool limits_are_kept() {
  constexpr std::size_t size = eight_mebibytes;
  void* place = MAP_FAILED;
  {
    const NoMoreAddressSpace limit;
    place = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (place == MAP_FAILED) return true;
  ::munmap(place, size);
  MESSAGE("skipped: no limit of address space is kept here");
  return false;
}

/// Leaves so many free bytes in the heap, which then are not given back to the system.
void leave_in_heap(std::size_t bytes) {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 25);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  void* const top = std::malloc(bytes);
  REQUIRE(top != nullptr);
  std::free(top);
}

Bytes pattern(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

}  // namespace

TEST_CASE("a file that cannot be mapped is read to its end") {
  if (!limits_are_kept()) return;
  const TemporaryFolder folder;
  const Bytes bytes = pattern(eight_mebibytes);
  write_bytes(folder / "f", bytes);
  leave_in_heap(2 * eight_mebibytes);
  for (const std::size_t most : {std::size_t{SIZE_MAX}, eight_mebibytes / 3}) {
    CAPTURE(most);
    const auto file = [&] {
      const NoMoreAddressSpace limit;
      most_of_a_read = most;
      auto opened = MappedFile::open(folder / "f");
      most_of_a_read = SIZE_MAX;
      return opened;
    }();
    REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
    CHECK_FALSE(file->is_mapped());
    file->release();  // nothing to give back
    CHECK(std::equal(bytes.begin(), bytes.end(), file->bytes().begin(), file->bytes().end()));
  }
}

TEST_CASE("a file that neither can be mapped nor fits the memory is refused by name") {
  if (!limits_are_kept()) return;
  const TemporaryFolder folder;
  std::ofstream(folder / "f").flush();
  // Holes; a program of 32 bits cannot open what is longer than 2 GiB.
  std::filesystem::resize_file(folder / "f", std::uintmax_t{1} << (sizeof(void*) == 8 ? 32 : 30));
  const auto file = [&] {
    const NoMoreAddressSpace limit;
    return MappedFile::open(folder / "f");
  }();
  CHECK(file.status().code() == ErrorCode::out_of_memory);
  CHECK(message_of(file.status()) == folder / "f" + ": not enough memory to read or write this file");
}

#endif

TEST_CASE("a file of the kernel, shorter than it says, ends too early") {
  const std::string path = "/sys/devices/system/cpu/online";
  std::error_code none;
  if (std::filesystem::file_size(path, none) != 4096) {
    MESSAGE("skipped: no such file here");
    return;
  }
  const auto file = MappedFile::open(path);
  CHECK(is_good_message(file.status(), path + ": ends after "));
}

TEST_CASE("memory that reading took can be given back: what is read again is the same") {
  const TemporaryFolder folder;
  SafetensorsWriter writer;
  const std::vector<float> values(100'000, 1.5f);
  REQUIRE(writer.add_floats("values", {100'000}, values).ok());
  REQUIRE(writer.write(folder / "f").ok());
  const auto file = SafetensorsFile::open(folder / "f");
  REQUIRE(file.has_value());
  CHECK(*file->read_floats(*file->find("values")) == values);
  file->release();
  CHECK(*file->read_floats(*file->find("values")) == values);

  GgufBuilder gguf;
  write_bytes(folder / "g", gguf.string("general.architecture", "llama").build());
  const auto metadata = GgufFile::open(folder / "g");
  REQUIRE(metadata.has_value());
  metadata->release();
  CHECK(*metadata->get_string("general.architecture") == "llama");
}

TEST_CASE("an index, and a header to be written, above 100 MB are refused") {
  const TemporaryFolder folder;
  std::ofstream(folder / "model.safetensors.index.json").flush();
  std::filesystem::resize_file(folder / "model.safetensors.index.json", most_safetensors_header + 1);
  CHECK(message_of(ModelIndex::open(folder / "model.safetensors.index.json").status()) ==
        folder / "model.safetensors.index.json" + ": an index of 100000001 bytes is too long");

  SafetensorsWriter writer;
  REQUIRE(writer.set_metadata("k", std::string(most_safetensors_header / 6 + 1, '\x01')).ok());  // \u0001 each
  const Status status = writer.write(folder / "f");
  CHECK(is_good_message(status, folder / "f" + ": the header would have "));
  CHECK(folder.names() == std::vector<std::string>{"model.safetensors.index.json"});
}
