#pragma once
#include <new>
#include <type_traits>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/status.hpp>

#if defined(PLANISH_HAS_EXCEPTIONS)
#include <stdexcept>
#include <string>
#endif

namespace planish::inline PLANISH_ABI {

/// A value, or the Status that says why there is none. What every fallible operation returns, with exceptions and
/// without. Accessing the value of a failed result is undefined; ask `has_value()` first or use `value_or_throw`.
template <class T>
class [[nodiscard]] Result {
  static_assert(!std::is_reference_v<T> && !std::is_same_v<T, Status>,
                "planish: Result<T> holds a value; use a pointer or a view");

 public:
  using value_type = T;

  Result(T value) noexcept(noexcept(T(std::declval<T&&>()))) : has_value_(true), value_(std::move(value)) {}
  Result(Status status) noexcept : has_value_(false), status_(status) {}
  Result(Result&& other) noexcept : has_value_(other.has_value_) {
    if (has_value_)
      ::new (static_cast<void*>(&value_)) T(std::move(other.value_));
    else
      ::new (static_cast<void*>(&status_)) Status(other.status_);
  }
  Result& operator=(Result&& other) noexcept {
    if (this != &other) {
      this->~Result();
      ::new (static_cast<void*>(this)) Result(std::move(other));
    }
    return *this;
  }
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;
  ~Result() {
    if (has_value_) value_.~T();
  }

  [[nodiscard]] bool has_value() const noexcept { return has_value_; }
  explicit operator bool() const noexcept { return has_value_; }

  /// Ok if there is a value. Always inline: g++ 12 makes one function of those of several types, then warns that it
  /// reads beyond the smaller ones.
  [[nodiscard]] PLANISH_ALWAYS_INLINE Status status() const noexcept { return has_value_ ? Status{} : status_; }

  [[nodiscard]] T& operator*() & noexcept { return value_; }
  [[nodiscard]] const T& operator*() const& noexcept { return value_; }
  [[nodiscard]] T&& operator*() && noexcept { return std::move(value_); }
  [[nodiscard]] T* operator->() noexcept { return &value_; }
  [[nodiscard]] const T* operator->() const noexcept { return &value_; }

 private:
  bool has_value_;
  union {
    T value_;
    Status status_;
  };
};

#if defined(PLANISH_HAS_EXCEPTIONS)
/// What the throwing spellings throw; `code()` tells the kinds apart.
class Error : public std::runtime_error {
 public:
  explicit Error(const Status& status) : std::runtime_error(std::string(status.message())), code_(status.code()) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// Throws Error unless the status is ok.
inline void throw_if_failed(const Status& status) {
  if (!status.ok()) throw Error(status);
}

/// The value of a result; throws Error if it has none.
template <class T>
[[nodiscard]] T value_or_throw(Result<T> result) {
  throw_if_failed(result.status());
  return *std::move(result);
}
#endif

}  // namespace planish::inline PLANISH_ABI
