#pragma once
// MappedFile's bytes where the system is POSIX: mapped, or else read into memory.
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/message.hpp>

namespace planish::inline PLANISH_ABI::io::detail {

struct PosixFileBytes {
  void* mapping = nullptr;
  std::vector<std::byte> copy;
  std::size_t size = 0;

  [[nodiscard]] Status load(const std::string& path) {
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.number < 0) return system_error(path, "cannot open");
    struct stat facts {};
    if (::fstat(file.number, &facts) != 0) return system_error(path, "cannot examine");
    if (S_ISDIR(facts.st_mode)) return file_error(ErrorCode::io, path, "is a directory, not a file");
    if (!S_ISREG(facts.st_mode)) return file_error(ErrorCode::io, path, "is not a regular file");
    size = static_cast<std::size_t>(facts.st_size);
    if (size == 0) return {};
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number, 0);
    if (mapped != MAP_FAILED) {
      mapping = mapped;
      return {};
    }
    copy.resize(size);
    for (std::size_t filled = 0; filled < size;) {
      const ssize_t got = ::read(file.number, copy.data() + filled, size - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return system_error(path, "cannot read");
      if (got == 0) return file_error(ErrorCode::io, path, "ends after ", filled, " of ", size, " bytes");
      filled += static_cast<std::size_t>(got);
    }
    return {};
  }

  void unmap() const noexcept { ::munmap(mapping, size); }
  void give_back() const noexcept { ::madvise(mapping, size, MADV_DONTNEED); }

 private:
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
  };

  static Status system_error(const std::string& path, const char* action) {
    return file_error(ErrorCode::io, path, action, ": ", std::strerror(errno));
  }
};

}  // namespace planish::inline PLANISH_ABI::io::detail
