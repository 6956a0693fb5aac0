#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/message.hpp>
#if __has_include(<sys/mman.h>)
#include <planish/io/posix_file_bytes.hpp>
#else
#include <planish/io/standard_file_bytes.hpp>
#endif

namespace planish::inline PLANISH_ABI::io {

namespace detail {
#if __has_include(<sys/mman.h>)
using FileBytes = PosixFileBytes;
#else
using FileBytes = StandardFileBytes;
#endif
}  // namespace detail

/// The bytes of a whole file, read-only: mapped where the system and its file system can, else read into memory. A
/// mapped file must not be cut short by others while it is open; replacing it by rename, as the writers of this folder
/// do, is fine.
class MappedFile {
 public:
  /// Opens a regular file. Errors (io) name the path and the reason of the operating system.
  static Result<MappedFile> open(const std::string& path) noexcept {
    return detail::guarded(path, [&]() -> Result<MappedFile> {
      MappedFile file;
      file.path_ = path;
      if (Status loaded = file.file_.load(path); !loaded.ok()) return loaded;
      return file;
    });
  }

  /// Bytes that are already in memory; `label` stands for the path in messages.
  static MappedFile from_bytes(std::vector<std::byte> bytes, std::string label) noexcept {
    MappedFile file;
    file.path_ = std::move(label);
    file.file_.size = bytes.size();
    file.file_.copy = std::move(bytes);
    return file;
  }

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    swap(other);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() {
    if (is_mapped()) file_.unmap();
  }

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    if (is_mapped()) return {static_cast<const std::byte*>(file_.mapping), file_.size};
    return file_.copy;
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] bool is_mapped() const noexcept { return file_.mapping != nullptr; }

  /// Gives back the memory that reading has taken; the bytes stay readable and come from the file again. Does nothing
  /// where they were never mapped.
  void release() const noexcept {
    if (is_mapped()) file_.give_back();
  }

 private:
  void swap(MappedFile& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(file_, other.file_);
  }

  std::string path_;
  detail::FileBytes file_;
};

}  // namespace planish::inline PLANISH_ABI::io
