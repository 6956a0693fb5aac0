#pragma once
// AtomicFile's file where the system is POSIX: forced to the disk before it takes its place.
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <span>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/message.hpp>

namespace planish::inline PLANISH_ABI::io::detail {

class PosixOutputFile {
 public:
  PosixOutputFile() = default;
  PosixOutputFile(PosixOutputFile&& other) noexcept
      : path_(std::move(other.path_)),
        temporary_(std::move(other.temporary_)),
        descriptor_(std::exchange(other.descriptor_, -1)) {}
  PosixOutputFile& operator=(PosixOutputFile&&) = delete;
  PosixOutputFile(const PosixOutputFile&) = delete;
  PosixOutputFile& operator=(const PosixOutputFile&) = delete;
  ~PosixOutputFile() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
  }

  [[nodiscard]] Status create(const std::string& path) {
    path_ = path;
    struct stat facts {};
    const bool replaces = ::stat(path.c_str(), &facts) == 0;
    if (replaces) {
      if (!S_ISREG(facts.st_mode))
        return file_error(ErrorCode::io, path, "cannot be replaced: it is not a regular file");
      const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
      if (real) path_ = real.get();
    }
    static std::atomic<unsigned> counter{0};
    for (int tries = 0; tries < 100; ++tries) {
      temporary_ = path_ + '.' + std::to_string(::getpid()) + '.' + std::to_string(counter.fetch_add(1)) + ".tmp";
      descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (descriptor_ >= 0 || errno != EEXIST) break;
    }
    if (descriptor_ < 0) return failed("cannot create a file beside it", errno);
    if (replaces && ::fchmod(descriptor_, facts.st_mode & 07777) != 0)
      return failed("cannot keep the permissions", errno);
    return {};
  }

  [[nodiscard]] Status write(std::span<const std::byte> bytes) noexcept {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return failed("cannot write", written < 0 ? errno : ENOSPC);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
  }

  [[nodiscard]] Status place(bool keeps_other) noexcept {
    if (::fsync(descriptor_) != 0) return failed("cannot write", errno);
    const bool closed = ::close(descriptor_) == 0;
    const int reason = errno;
    descriptor_ = -1;
    if (closed && keeps_other && (::link(temporary_.c_str(), path_.c_str()) == 0 || errno == EEXIST)) {
      ::unlink(temporary_.c_str());
    } else if (!closed || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
      const int why = closed ? errno : reason;
      ::unlink(temporary_.c_str());
      return failed(closed ? "cannot replace" : "cannot write", why);
    }
    return guarded(path_, [&]() -> Status {
      const std::size_t slash = path_.rfind('/');
      const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
      const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (descriptor >= 0) {
        ::fsync(descriptor);  // makes the rename itself durable, where the file system can
        ::close(descriptor);
      }
      return {};
    });
  }

 private:
  [[nodiscard]] Status failed(const char* action, int reason) const noexcept {
    return guarded(path_, [&] { return file_error(ErrorCode::io, path_, action, ": ", std::strerror(reason)); });
  }

  std::string path_;       // where the file goes
  std::string temporary_;  // where it is until then
  int descriptor_ = -1;
};

}  // namespace planish::inline PLANISH_ABI::io::detail
