#pragma once
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <span>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/message.hpp>

namespace planish::inline PLANISH_ABI::io {

/// The bytes of a whole file, read-only: mapped where the file system can, else read into memory. A mapped file must
/// not be cut short by others while it is open; replacing it by rename, as the writers of this folder do, is fine.
class MappedFile {
 public:
  /// Opens a regular file. Errors (io) name the path and the reason of the operating system.
  static Result<MappedFile> open(const std::string& path) noexcept {
    return detail::guarded(path, [&] { return open_checked(path); });
  }

  /// Bytes that are already in memory; `label` stands for the path in messages.
  static MappedFile from_bytes(std::vector<std::byte> bytes, std::string label) noexcept {
    MappedFile file;
    file.path_ = std::move(label);
    file.copy_ = std::move(bytes);
    file.data_ = file.copy_.data();
    file.size_ = file.copy_.size();
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
    if (is_mapped()) ::munmap(mapping_, size_);
  }

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] bool is_mapped() const noexcept { return mapping_ != nullptr; }

  /// Gives back the memory that reading has taken; the bytes stay readable and come from the file again. Does nothing
  /// where they were never mapped.
  void release() const noexcept {
    if (is_mapped()) ::madvise(mapping_, size_, MADV_DONTNEED);
  }

 private:
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
  };

  static Status system_error(const std::string& path, const char* action, int reason) {
    return detail::file_error(ErrorCode::io, path, action, ": ", std::strerror(reason));
  }

  static Result<MappedFile> open_checked(const std::string& path) {
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.number < 0) return system_error(path, "cannot open", errno);
    struct stat facts {};
    if (::fstat(file.number, &facts) != 0) return system_error(path, "cannot examine", errno);
    if (S_ISDIR(facts.st_mode)) return detail::file_error(ErrorCode::io, path, "is a directory, not a file");
    if (!S_ISREG(facts.st_mode)) return detail::file_error(ErrorCode::io, path, "is not a regular file");
    MappedFile result;
    result.path_ = path;
    result.size_ = static_cast<std::size_t>(facts.st_size);
    if (result.size_ == 0) return result;
    void* mapping = ::mmap(nullptr, result.size_, PROT_READ, MAP_PRIVATE, file.number, 0);
    if (mapping != MAP_FAILED) {
      result.mapping_ = mapping;
      result.data_ = static_cast<const std::byte*>(mapping);
      return result;
    }
    result.copy_.resize(result.size_);
    for (std::size_t filled = 0; filled < result.size_;) {
      const ssize_t got = ::read(file.number, result.copy_.data() + filled, result.size_ - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return system_error(path, "cannot read", errno);
      if (got == 0)
        return detail::file_error(ErrorCode::io, path, "ends after ", filled, " of ", result.size_, " bytes");
      filled += static_cast<std::size_t>(got);
    }
    result.data_ = result.copy_.data();
    return result;
  }

  void swap(MappedFile& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(copy_, other.copy_);
    std::swap(mapping_, other.mapping_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  std::string path_;
  std::vector<std::byte> copy_;  // the bytes when they are not mapped
  void* mapping_ = nullptr;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace planish::inline PLANISH_ABI::io
