// What AlignedBuffer asks of the system, as the system lists it.
#include <doctest/doctest.h>

#include <planish/core/aligned_buffer.hpp>

#if defined(__linux__)
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/mman.h>

namespace pl = planish;

namespace {

using pl::index;

/// The flags of the mapping that holds an address; empty where they are not listed.
std::string flags_of(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    if (words >> std::hex >> begin >> dash >> end && dash == '-') inside = begin <= wanted && wanted < end;
    if (inside && line.starts_with("VmFlags:")) return line + ' ';
  }
  return {};
}

bool system_has_huge_pages() {
  constexpr std::size_t size = std::size_t{4} << 20;
  void* const place = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) return false;
  const bool taken = ::madvise(place, size, MADV_HUGEPAGE) == 0 && flags_of(place).find(" hg ") != std::string::npos;
  ::munmap(place, size);
  return taken;
}

TEST_CASE("AlignedBuffer: for all whole pages of 2 MiB in it huge ones are asked for, where the system has them") {
  if (!system_has_huge_pages()) {
    MESSAGE("skipped: no huge pages here, or none that are listed");
    return;
  }
  constexpr index page = index{2} << 20;
  for (const index pages : {1, 2, 3}) {
    const auto buffer = pl::AlignedBuffer<std::uint8_t>::make(pages * page + 5);
    REQUIRE(buffer.has_value());
    for (index i = 0; i < pages; ++i) {
      CHECK(flags_of(buffer->data() + i * page).find(" hg ") != std::string::npos);
      CHECK(flags_of(buffer->data() + (i + 1) * page - 1).find(" hg ") != std::string::npos);
    }
  }
}

}  // namespace

#endif
