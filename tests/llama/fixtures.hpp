#pragma once
// Where real models and texts are, on machines that have them.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "llama/text_source.hpp"

namespace llama::test {

/// A file of the shared data, or an empty string where it is not there.
inline std::string shared_data(const std::string& name) {
  const char* folder = std::getenv("PLANISH_SHARED_DATA");
  const std::string path = (folder != nullptr ? std::string(folder) : std::string("../shared/data")) + '/' + name;
  return std::filesystem::exists(path) ? path : std::string();
}

/// The default model, or an empty string where it is not there.
inline std::string default_model() {
  std::string path;
  if (const char* model = std::getenv("PLANISH_TEST_MODEL")) {
    path = model;
  } else {
    const char* cache = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    path = cache != nullptr ? std::string(cache) : std::string(home != nullptr ? home : ".") + "/.cache";
    path += "/planish/SmolLM2-135M-Instruct.Q4_1.gguf";
  }
  return std::filesystem::exists(path) ? path : std::string();
}

/// Token ids stored as little-endian uint16.
inline std::vector<int> read_ids(const std::string& path) {
  const std::string bytes = read_text(path);
  std::vector<int> ids(bytes.size() / 2);
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<unsigned char>(bytes[2 * i]) | static_cast<unsigned char>(bytes[2 * i + 1]) << 8;
  return ids;
}

/// A folder for the files of one test; gone with it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "planish-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + '/' + name; }

 private:
  std::string path_;
};

/// A cache folder of one test's own, which is not there yet.
class TemporaryCache {
 public:
  TemporaryCache() : path_(folder_.file("cache")) {
    if (const char* set = std::getenv("XDG_CACHE_HOME")) before_ = set;
    setenv("XDG_CACHE_HOME", path_.c_str(), 1);
  }
  ~TemporaryCache() { before_ ? setenv("XDG_CACHE_HOME", before_->c_str(), 1) : unsetenv("XDG_CACHE_HOME"); }
  TemporaryCache(const TemporaryCache&) = delete;
  TemporaryCache& operator=(const TemporaryCache&) = delete;
  /// What XDG_CACHE_HOME names.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  TemporaryFolder folder_;
  std::string path_;
  std::optional<std::string> before_;
};

}  // namespace llama::test
