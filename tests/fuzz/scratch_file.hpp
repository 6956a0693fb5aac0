#pragma once
// A file for parsers that open theirs by name, in memory where the system has a folder for that.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <unistd.h>

namespace fuzz {

class ScratchFile {
 public:
  explicit ScratchFile(const char* name) {
    const std::filesystem::path memory = "/dev/shm";
    folder_ = std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
    folder_ /= "planish-fuzz-" + std::to_string(getpid());
    std::filesystem::create_directories(folder_);
    path_ = (folder_ / name).string();
  }
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::string& holding(std::span<const std::uint8_t> bytes) const {
    std::ofstream file(path_, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return path_;
  }

 private:
  std::filesystem::path folder_;
  std::string path_;
};

}  // namespace fuzz
