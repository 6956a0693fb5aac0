#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI {

/// Square matrix of +1 and −1 (0 only while a construction is under way).
class SignMatrix {
 public:
  PLANISH_LAZY explicit SignMatrix(index order) : order_(order), values_(static_cast<std::size_t>(order * order), 1) {}

  [[nodiscard]] index order() const noexcept { return order_; }
  [[nodiscard]] std::int8_t& operator()(index r, index c) noexcept {
    return values_[static_cast<std::size_t>(r * order_ + c)];
  }
  [[nodiscard]] std::int8_t operator()(index r, index c) const noexcept {
    return values_[static_cast<std::size_t>(r * order_ + c)];
  }

 private:
  index order_;
  Array<std::int8_t> values_;
};

}  // namespace planish::inline PLANISH_ABI
