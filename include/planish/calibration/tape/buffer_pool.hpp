#pragma once
#include <algorithm>
#include <utility>
#include <vector>

#include <planish/core/aligned_buffer.hpp>
#include <planish/core/result.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// Buffers that come back and are lent again: a training step needs the same sizes every time.
template <class T>
class BufferPool {
 public:
  /// A buffer that goes back to its pool by itself.
  class Loan {
   public:
    Loan(BufferPool& pool, index count) : pool_(&pool), buffer_(pool.take(count)) {}
    Loan(Loan&&) = delete;
    ~Loan() { pool_->give_back(std::move(buffer_)); }

    [[nodiscard]] T* data() noexcept { return buffer_.data(); }

   private:
    BufferPool* pool_;
    AlignedBuffer<T> buffer_;
  };

  /// At least `count` elements of undefined content. Throws Error if memory is out.
  [[nodiscard]] AlignedBuffer<T> take(index count) {
    const auto fits = std::lower_bound(free_.begin(), free_.end(), count,
                                       [](const AlignedBuffer<T>& b, index wanted) { return b.size() < wanted; });
    constexpr index waste = 2;  // a buffer of more than twice the size stays for who needs it
    if (fits != free_.end() && fits->size() <= waste * count) {
      AlignedBuffer<T> buffer = std::move(*fits);
      free_.erase(fits);
      return buffer;
    }
    free_.reserve(made_ + 1);
    AlignedBuffer<T> buffer = value_or_throw(AlignedBuffer<T>::make(count));
    ++made_;
    total_ += static_cast<std::size_t>(count) * sizeof(T);
    return buffer;
  }

  /// Takes back what `take` lent; there is room for every buffer that was ever made.
  void give_back(AlignedBuffer<T> buffer) noexcept {
    if (buffer.empty()) return;
    const auto place = std::lower_bound(free_.begin(), free_.end(), buffer.size(),
                                        [](const AlignedBuffer<T>& b, index size) { return b.size() < size; });
    free_.insert(place, std::move(buffer));
  }

  /// Frees every buffer that is not lent.
  void release() noexcept {
    for (const AlignedBuffer<T>& buffer : free_) total_ -= static_cast<std::size_t>(buffer.size()) * sizeof(T);
    made_ -= free_.size();
    free_.clear();
  }

  /// Bytes lent and kept.
  [[nodiscard]] std::size_t total_bytes() const noexcept { return total_; }

 private:
  std::vector<AlignedBuffer<T>> free_;  // by rising size
  std::size_t made_ = 0;                // buffers
  std::size_t total_ = 0;               // bytes
};

}  // namespace planish::inline PLANISH_ABI::calibration::tape
