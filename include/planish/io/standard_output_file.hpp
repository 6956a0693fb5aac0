#pragma once
// AtomicFile's file by C++'s own library alone, for systems that are not POSIX: whole or not at all when the process
// dies, but when the machine does, what was written last may be lost.
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/message.hpp>

namespace planish::inline PLANISH_ABI::io::detail {

class StandardOutputFile {
 public:
  StandardOutputFile() = default;
  StandardOutputFile(StandardOutputFile&& other) noexcept
      : path_(std::move(other.path_)),
        temporary_(std::move(other.temporary_)),
        file_(std::exchange(other.file_, nullptr)) {}
  StandardOutputFile& operator=(StandardOutputFile&&) = delete;
  StandardOutputFile(const StandardOutputFile&) = delete;
  StandardOutputFile& operator=(const StandardOutputFile&) = delete;
  ~StandardOutputFile() {
    if (file_ == nullptr) return;
    std::fclose(file_);
    std::remove(temporary_.c_str());
  }

  [[nodiscard]] Status create(const std::string& path) {
    namespace fs = std::filesystem;
    path_ = path;
    std::error_code error;
    const fs::file_status facts = fs::status(path, error);
    const bool replaces = fs::exists(facts);
    if (replaces) {
      if (!fs::is_regular_file(facts))
        return file_error(ErrorCode::io, path, "cannot be replaced: it is not a regular file");
      const fs::path real = fs::canonical(path, error);
      if (!error) path_ = real.string();
    }
    static std::atomic<unsigned> counter{0};
    for (int tries = 0; tries < 10000; ++tries) {  // of other processes too: the name has no process in it
      temporary_ = path_ + '.' + std::to_string(counter.fetch_add(1)) + ".tmp";
      file_ = std::fopen(temporary_.c_str(), "wbx");
      if (file_ != nullptr || errno != EEXIST) break;
    }
    if (file_ == nullptr) return failed("cannot create a file beside it", std::strerror(errno));
    if (replaces) {
      fs::permissions(temporary_, facts.permissions(), error);
      if (error) return failed("cannot keep the permissions", error.message().c_str());
    }
    return {};
  }

  [[nodiscard]] Status write(std::span<const std::byte> bytes) noexcept {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size()) return {};
    return failed("cannot write", std::strerror(errno));
  }

  [[nodiscard]] Status place(bool keeps_other) noexcept {
    return guarded(path_, [&]() -> Status {
      namespace fs = std::filesystem;
      const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
      const std::string reason = std::strerror(errno);
      std::error_code error;
      if (closed && keeps_other) fs::create_hard_link(temporary_, path_, error);
      if (closed && keeps_other && (!error || error == std::errc::file_exists)) {
        std::remove(temporary_.c_str());
        return {};
      }
      error.clear();
      if (closed) fs::rename(temporary_, path_, error);
      if (closed && !error) return {};
      std::remove(temporary_.c_str());
      return closed ? failed("cannot replace", error.message().c_str()) : failed("cannot write", reason.c_str());
    });
  }

 private:
  [[nodiscard]] Status failed(const char* action, const char* reason) const noexcept {
    return guarded(path_, [&] { return file_error(ErrorCode::io, path_, action, ": ", reason); });
  }

  std::string path_;       // where the file goes
  std::string temporary_;  // where it is until then
  std::FILE* file_ = nullptr;
};

}  // namespace planish::inline PLANISH_ABI::io::detail
