#pragma once
#include <cstddef>
#include <initializer_list>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI {

/// A std::vector<T> whose members a unit compiles when it calls them. Since C++20 the members of std::vector are
/// constexpr, and clang compiles constexpr members wherever a body names them, also in templates that nobody uses
/// (docs/decisions/0013-vectors-in-a-wrapper.md).
template <class T>
class Array {
 public:
  // Nothing here is constexpr or defaulted, for that reason.
  Array() noexcept {}
  explicit Array(std::size_t count) : values_(count) {}
  Array(std::size_t count, const T& value) : values_(count, value) {}
  template <class Iterator>
  requires(requires(Iterator at) { *at; }) Array(Iterator first, Iterator last) : values_(first, last) {}
  Array(std::initializer_list<T> values) : values_(values) {}
  Array(std::vector<T> values) noexcept : values_(std::move(values)) {}
  Array(const Array& other) : values_(other.values_) {}
  Array(Array&& other) noexcept : values_(std::move(other.values_)) {}
  Array& operator=(const Array& other) {
    values_ = other.values_;
    return *this;
  }
  Array& operator=(Array&& other) noexcept {
    values_ = std::move(other.values_);
    return *this;
  }
  ~Array() {}

  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
  [[nodiscard]] bool empty() const noexcept { return values_.empty(); }
  [[nodiscard]] T* data() noexcept { return values_.data(); }
  [[nodiscard]] const T* data() const noexcept { return values_.data(); }
  [[nodiscard]] T* begin() noexcept { return values_.data(); }
  [[nodiscard]] T* end() noexcept { return values_.data() + values_.size(); }
  [[nodiscard]] const T* begin() const noexcept { return values_.data(); }
  [[nodiscard]] const T* end() const noexcept { return values_.data() + values_.size(); }
  [[nodiscard]] T& operator[](std::size_t i) noexcept { return values_[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return values_[i]; }
  [[nodiscard]] const T& front() const noexcept { return values_.front(); }
  [[nodiscard]] const T& back() const noexcept { return values_.back(); }

  void reserve(std::size_t count) { values_.reserve(count); }
  void resize(std::size_t count, const T& value) { values_.resize(count, value); }
  void push_back(T value) { values_.push_back(std::move(value)); }
  void pop_back() { values_.pop_back(); }

 private:
  std::vector<T> values_;
};

}  // namespace planish::inline PLANISH_ABI
