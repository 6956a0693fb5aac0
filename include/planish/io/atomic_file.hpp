#pragma once
#include <cstddef>
#include <span>
#include <string>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/message.hpp>
#if __has_include(<sys/mman.h>)
#include <planish/io/posix_output_file.hpp>
#else
#include <planish/io/standard_output_file.hpp>
#endif

namespace planish::inline PLANISH_ABI::io {

namespace detail {
#if __has_include(<sys/mman.h>)
using OutputFile = PosixOutputFile;
#else
using OutputFile = StandardOutputFile;
#endif
}  // namespace detail

/// Writes a file that is there either whole or not at all: everything goes to a temporary name in the same folder,
/// `commit` forces it to the disk and renames it over the old file. Without a commit, or after an error, the temporary
/// file is removed and the old file stays. A process killed half-way leaves the old file, and `NAME.PID.N.tmp` beside
/// it. On a system that is not POSIX nothing is forced to the disk, and that name is `NAME.N.tmp`.
class AtomicFile {
 public:
  /// Errors (io) name the path and the reason of the operating system. A symbolic link is followed.
  static Result<AtomicFile> create(const std::string& path) noexcept {
    return detail::guarded(path, [&]() -> Result<AtomicFile> {
      AtomicFile file;
      if (Status created = file.file_.create(path); !created.ok()) return created;
      return file;
    });
  }

  /// Appends the bytes.
  [[nodiscard]] Status write(std::span<const std::byte> bytes) noexcept { return file_.write(bytes); }

  /// Puts the file in its place. Call it once, last.
  [[nodiscard]] Status commit() noexcept { return file_.place(false); }

  /// The same, but a file of that name that came meanwhile stays, and this one is removed: who has that one open or
  /// mapped, on another host perhaps, does not lose it. Where the file system has no hard links, it is replaced.
  [[nodiscard]] Status commit_if_absent() noexcept { return file_.place(true); }

 private:
  AtomicFile() = default;

  detail::OutputFile file_;
};

}  // namespace planish::inline PLANISH_ABI::io
