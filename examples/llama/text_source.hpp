#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace llama {

/// The whole content of a text file. Throws Error, naming the file, if it cannot be read or is empty.
[[nodiscard]] std::string read_text(const std::string& path);

/// Non-overlapping windows of `length` ids each; a rest shorter than that is left out.
class Windows {
 public:
  /// `limit`: use at most the first `limit` ids; 0: all. Throws Error, naming `name`, if not even one window
  /// of at least two ids fits.
  Windows(std::span<const int> ids, std::size_t length, const std::string& name, std::size_t limit = 0);

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::size_t length() const noexcept { return length_; }
  [[nodiscard]] std::span<const int> operator[](std::size_t window) const noexcept {
    return ids_.subspan(window * length_, length_);
  }
  /// Every id of a window but the first is predicted.
  [[nodiscard]] std::size_t predictions() const noexcept { return count_ * (length_ - 1); }

 private:
  std::span<const int> ids_;
  std::size_t length_;
  std::size_t count_ = 0;
};

}  // namespace llama
