#include "memory.hpp"

#include <fstream>
#include <sstream>
#include <string>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace llama {
namespace {

/// A line such as "VmRSS:     1234 kB" of /proc/self/status, in bytes.
std::int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    std::int64_t kilobytes = 0;
    std::istringstream(line.substr(key.size())) >> kilobytes;
    return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

std::int64_t current_memory_bytes() { return status_bytes("VmRSS:"); }

std::int64_t peak_memory_bytes() { return status_bytes("VmHWM:"); }

void trim_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

void return_freed_memory() {
#if defined(__GLIBC__)
  // Said by name, it stays: by itself the threshold rises to the largest block that was freed, and what is below it
  // leaves holes.
  mallopt(M_MMAP_THRESHOLD, 128 * 1024);
#endif
}

bool reset_peak_memory() {
  trim_memory();
  std::ofstream file("/proc/self/clear_refs");  // 5: reset the peak (proc(5))
  file << '5' << std::flush;
  return file.good();
}

}  // namespace llama
