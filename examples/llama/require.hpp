#pragma once
#include <string>
#include <string_view>
#include <utility>

#include <planish/core/result.hpp>

#include "error.hpp"

namespace llama {

/// Throws Error with `where: reason` unless the status is ok. Files name themselves in their messages: leave `where`
/// empty for them.
inline void require(const planish::Status& status, std::string_view where = {}) {
  if (status.ok()) return;
  if (where.empty()) fail(status.message());
  fail(where, ": ", status.message());
}

/// The value of a result, or the same.
template <class T>
[[nodiscard]] T require(planish::Result<T> result, std::string_view where = {}) {
  if (!result) require(result.status(), where);
  return *std::move(result);
}

}  // namespace llama
