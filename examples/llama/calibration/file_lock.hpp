#pragma once
#include <optional>
#include <string>
#include <utility>

namespace llama {

/// A lock that processes take on a file which means nothing else. It lives as long as this object, and the process.
class FileLock {
 public:
  enum class Kind { shared, exclusive };

  /// Takes the lock, making the file where it is missing; nullopt if another process has it. Where the file system
  /// knows no locks, everyone gets it: what the lock saves is work, not results. Throws Error, naming the file.
  [[nodiscard]] static std::optional<FileLock> try_take(const std::string& path, Kind kind = Kind::exclusive);

  /// From exclusive to shared, with nobody in between.
  void share() const noexcept;

  FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int descriptor) noexcept : descriptor_(descriptor) {}

  int descriptor_;
};

}  // namespace llama
