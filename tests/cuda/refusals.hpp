#pragma once
// The sentences by which plans and arguments are refused.
#include <string>

#include <doctest/doctest.h>

#include <planish/core/result.hpp>
#include <planish/kernels/cuda/device.cuh>

namespace refusals {

constexpr planish::kernels::cuda::DeviceCapabilities turing{7, 5, 40, 64 * 1024, false};

template <class Plan>
std::string refusal(const planish::Result<Plan>& result) {
  CHECK_FALSE(result.has_value());
  return std::string(result.status().message());
}

/// The sentence about arguments that `change` has spoiled.
template <class Plan, class Arguments, class Change>
std::string refusal(const Plan& plan, Arguments arguments, const Change& change) {
  change(arguments);
  return std::string(check(plan, arguments).message());
}

}  // namespace refusals
