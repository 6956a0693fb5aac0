#pragma once
// What crosses between units built for different instruction sets: only the untagged vocabulary.
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/status.hpp>

#define DECLARE_UNIT(unit)                                                                              \
  namespace unit {                                                                                      \
  const char* instruction_set() noexcept;                                                               \
  const char* backend() noexcept;                                                                       \
  planish::Status multiply(planish::MatrixView<const float> x, planish::MatrixView<const float> w,      \
                           planish::MatrixView<float> y, planish::ExecutorReference executor) noexcept; \
  }

DECLARE_UNIT(baseline)
DECLARE_UNIT(wide)
