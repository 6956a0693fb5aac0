#pragma once
#include <memory>
#include <span>

#include <planish/core/matrix_view.hpp>

#include "segment.hpp"

namespace llama {

/// The caches and buffers of sequences that a device continues together. What goes wrong throws Error.
class DeviceSession {
 public:
  virtual ~DeviceSession() = default;

  /// Runs ids through all blocks, as Session::forward says; `tokens`, by sequence, is what each holds already and is
  /// the session's to count. Returns the last normalised hidden states in host memory, valid until the next call.
  virtual planish::MatrixView<const float> forward(std::span<const Segment> segments,
                                                   std::span<const planish::index> tokens,
                                                   std::span<const int> ids) = 0;

  /// Logits of hidden states, in host memory, valid until the next call.
  virtual planish::MatrixView<const float> logits(planish::MatrixView<const float> hidden) = 0;
};

/// A model's weights in the memory of a device.
class DeviceModel {
 public:
  virtual ~DeviceModel() = default;

  /// Room for `sequences` sequences of at most `capacity` tokens. The model must outlive the session.
  [[nodiscard]] virtual std::unique_ptr<DeviceSession> open(planish::index sequences,
                                                            planish::index capacity) const = 0;
};

}  // namespace llama
