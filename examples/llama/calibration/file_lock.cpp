#include "file_lock.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../error.hpp"

namespace llama {
namespace {

// A record lock of fcntl(2), not flock(2): NFS and cluster file systems pass record locks on to their servers, so that
// they hold between hosts, while flock is local to a host on some of them. The kernel releases it when the process
// ends, however it ends; that of a host that is lost goes when its lease on the server runs out. Where there are locks
// of the open file (OFD) it is one of those: a plain one would be lost as soon as anything in the process closes the
// same file, and two of one process would not keep each other out.
bool lock(int descriptor, FileLock::Kind kind) noexcept {
  struct flock whole {};
  whole.l_type = kind == FileLock::Kind::shared ? F_RDLCK : F_WRLCK;
  whole.l_whence = SEEK_SET;
#if defined(F_OFD_SETLK)
  if (::fcntl(descriptor, F_OFD_SETLK, &whole) == 0) return true;
  if (errno != EINVAL) return false;
#endif
  return ::fcntl(descriptor, F_SETLK, &whole) == 0;
}

bool has_no_locks(int reason) noexcept {
  return reason == ENOLCK || reason == ENOSYS || reason == EOPNOTSUPP || reason == ENOTSUP;
}

/// True if the path still leads to the open file: its last holder may have deleted it between our open and our lock.
bool is_at(int descriptor, const std::string& path) noexcept {
  struct stat ours {
  }, there{};
  return ::fstat(descriptor, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_dev == there.st_dev &&
         ours.st_ino == there.st_ino;
}

}  // namespace

std::optional<FileLock> FileLock::try_take(const std::string& path, Kind kind) {
  for (;;) {
    FileLock made(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (made.descriptor_ < 0) fail(path, ": cannot be made: ", std::strerror(errno));
    if (!lock(made.descriptor_, kind)) {
      if (errno == EAGAIN || errno == EACCES) return std::nullopt;
      if (errno == EINTR) continue;
      if (has_no_locks(errno)) return made;
      fail(path, ": cannot be locked: ", std::strerror(errno));
    }
    if (is_at(made.descriptor_, path)) return made;
  }
}

void FileLock::share() const noexcept { static_cast<void>(lock(descriptor_, Kind::shared)); }

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace llama
