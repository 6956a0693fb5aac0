#pragma once
// Operands of the kernels under test: random, of any size, and cold copies of them on request.
#include <cstring>
#include <span>
#include <vector>

#include <benchmark/benchmark.h>

#include <planish/core/aligned_buffer.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/random.hpp>
#include <planish/core/workspace.hpp>
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/packing/codes.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>

#include "cold_memory.hpp"

namespace bench {

/// A row-major matrix of standard normal numbers.
class FloatMatrix {
 public:
  FloatMatrix(planish::index rows, planish::index columns, std::uint64_t seed = 1) : rows_(rows), columns_(columns) {
    if (auto made = planish::AlignedBuffer<float>::make(rows * columns)) data_ = *std::move(made);
    planish::Random random(seed);
    // A run of random numbers, repeated: large matrices would take longer to draw than to multiply.
    const planish::index drawn = data_.size() < 65536 ? data_.size() : 65536;
    for (planish::index i = 0; i < drawn; ++i) data_[i] = static_cast<float>(random.normal());
    for (planish::index i = drawn; i < data_.size(); ++i) data_[i] = data_[i - drawn];
  }
  [[nodiscard]] planish::MatrixView<const float> view() const noexcept { return {data_.data(), rows_, columns_}; }
  [[nodiscard]] planish::MatrixView<float> view() noexcept { return {data_.data(), rows_, columns_}; }

 private:
  planish::index rows_, columns_;
  planish::AlignedBuffer<float> data_;
};

/// Activations, quantized.
class Activations {
 public:
  Activations(planish::index rows, planish::index columns, const planish::RowQuantizer& quantizer) {
    const bool asymmetric = quantizer.symmetry == planish::Symmetry::asymmetric;
    memory_.resize(planish::quantized_rows_bytes(rows, columns, asymmetric) + planish::buffer_alignment);
    planish::Workspace workspace(memory_);
    rows_ = planish::take_quantized_rows(workspace, rows, columns, asymmetric);
    planish::kernels::cpu::quantize_rows(FloatMatrix(rows, columns).view(), quantizer, rows_);
  }
  [[nodiscard]] planish::QuantizedRowsView view() const noexcept { return rows_; }

 private:
  std::vector<std::byte> memory_;
  planish::QuantizedRowsSpan rows_;
};

/// Random codes of so many bits, packed.
inline planish::PackedWeights random_weights(planish::index n, planish::index k, int bits, planish::index group = 0) {
  auto codes = planish::Codes::make(n, k, bits, planish::Symmetry::symmetric, group);
  if (!codes) return {};
  planish::Random random(7);
  const planish::CodeRange range = planish::code_range(bits, planish::Symmetry::symmetric);
  const auto width = static_cast<std::uint64_t>(range.highest - range.lowest + 1);
  for (auto& code : codes->codes())
    code = static_cast<std::uint8_t>(range.lowest + static_cast<int>(random.below(width)));
  for (float& scale : codes->scales()) scale = 0.01f;
  auto packed = planish::PackedWeights::make(codes->view());
  return packed ? *std::move(packed) : planish::PackedWeights{};
}

/// Copies of a block of bytes, so many that by the time the first is read again it has left every cache.
class ColdCopies {
 public:
  /// `bytes` at `data`; with `cold` false, one copy: the original.
  ColdCopies(const void* data, std::size_t bytes, bool cold) : original_(data), bytes_(bytes) {
    if (!cold || bytes == 0 || cold_memory().empty()) return;
    step_ = (bytes + 4095) / 4096 * 4096;
    count_ = cold_bytes / step_;
    for (std::size_t i = 0; i < count_; ++i) std::memcpy(cold_memory().data() + i * step_, data, bytes);
  }
  [[nodiscard]] const void* next() noexcept {
    if (count_ == 0) return original_;
    const void* copy = cold_memory().data() + turn_ * step_;
    turn_ = (turn_ + 1) % count_;
    return copy;
  }
  [[nodiscard]] double bytes_read() const noexcept { return count_ == 0 ? 0 : static_cast<double>(bytes_); }

 private:
  const void* original_;
  std::size_t bytes_;
  std::size_t step_ = 0, count_ = 0, turn_ = 0;
};

/// Scratch of every worker.
class Scratch {
 public:
  Scratch(std::size_t bytes_per_worker, int workers)
      : each_((bytes_per_worker + 2 * planish::buffer_alignment - 1) / planish::buffer_alignment *
              planish::buffer_alignment) {
    if (auto made = planish::AlignedBuffer<std::byte>::make(static_cast<planish::index>(each_) * workers))
      memory_ = *std::move(made);
  }
  [[nodiscard]] std::span<std::byte> of(int worker) noexcept {
    return memory_.span().subspan(each_ * static_cast<std::size_t>(worker), each_);
  }

 private:
  std::size_t each_;
  planish::AlignedBuffer<std::byte> memory_;
};

}  // namespace bench
