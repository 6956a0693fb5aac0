#pragma once
// MappedFile's bytes by C++'s own library alone, for systems that are not POSIX: read into memory, never mapped.
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/message.hpp>

namespace planish::inline PLANISH_ABI::io::detail {

struct StandardFileBytes {
  void* mapping = nullptr;
  std::vector<std::byte> copy;
  std::size_t size = 0;

  [[nodiscard]] Status load(const std::string& path) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::file_status facts = fs::status(path, error);
    if (fs::is_directory(facts)) return file_error(ErrorCode::io, path, "is a directory, not a file");
    if (fs::exists(facts) && !fs::is_regular_file(facts))
      return file_error(ErrorCode::io, path, "is not a regular file");
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file) return file_error(ErrorCode::io, path, "cannot open: ", std::strerror(errno));
    const auto bytes = fs::file_size(path, error);
    if (error) return file_error(ErrorCode::io, path, "cannot examine: ", error.message());
    size = static_cast<std::size_t>(bytes);
    copy.resize(size);
    const std::size_t got = std::fread(copy.data(), 1, size, file.get());
    if (got == size) return {};
    if (std::ferror(file.get()) != 0) return file_error(ErrorCode::io, path, "cannot read: ", std::strerror(errno));
    return file_error(ErrorCode::io, path, "ends after ", got, " of ", size, " bytes");
  }

  void unmap() const noexcept {}
  void give_back() const noexcept {}
};

}  // namespace planish::inline PLANISH_ABI::io::detail
