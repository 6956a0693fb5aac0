#include "text_source.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "error.hpp"

namespace llama {

std::string read_text(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) fail(path, ": is a folder, not a text file");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, ": cannot be read: ", std::strerror(errno != 0 ? errno : EIO));
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) fail(path, ": cannot be read to its end");
  if (text.empty()) fail(path, ": is empty");
  return text;
}

Windows::Windows(std::span<const int> ids, std::size_t length, const std::string& name, std::size_t limit)
    : ids_(limit == 0 ? ids : ids.first(std::min(limit, ids.size()))), length_(length) {
  if (length_ < 2) fail("a window needs at least 2 tokens: one to start from and one to predict");
  count_ = ids_.size() / length_;
  if (count_ == 0)
    fail(name, ": ", ids_.size(), " tokens do not fill one window of ", length_,
         "; give more text or a shorter context");
}

}  // namespace llama
