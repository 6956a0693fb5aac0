#pragma once
#include <string>
#include <utility>

#include <planish/backend/default.hpp>
#include <planish/linear/describe.hpp>
#include <planish/linear/overlap.hpp>
#include <planish/linear/quantized_input.hpp>
#include <planish/linear/sixteen_bit_rows.hpp>
#include <planish/linear/split_product.hpp>

namespace planish::inline PLANISH_ABI {

template <class B>
struct SiteProduct;
template <class B>
Status multiply_together(std::span<const SiteProduct<B>> products, Workspace workspace,
                         ExecutorReference executor = {}) noexcept;

/// y = x Wᵀ + b with weights packed for one backend: as codes, as float32, or as the float32 values of codes. Consumes
/// the QuantizedInput of a site and never sees its transform. Const and shareable.
template <detail::MustBeBackend B = DefaultBackend>
class LinearOn {
 public:
  /// Weights (out × in) that stay float32. Errors: NaN or infinity, a bias of another length, out of memory.
  [[nodiscard]] static Result<LinearOn> make_float(MatrixView<const float> w, std::span<const float> bias = {},
                                                   B backend = {}) noexcept {
    auto panels = FloatPanels::make(w);
    if (!panels) return panels.status();
    LinearOn made(w.rows(), w.columns(), std::move(backend));
    made.float_ = *std::move(panels);
    made.bits_per_weight_ = 32.0;
    return with_bias(std::move(made), bias);
  }

  /// Weights from canonical codes. `fake`: keeps the float values of the codes, for simulation. Errors: what packing
  /// refuses, a bias of another length, out of memory.
  [[nodiscard]] static Result<LinearOn> make(const CodesView& codes, std::span<const float> bias = {},
                                             SiteMode mode = SiteMode::packed, B backend = {}) noexcept {
    auto packed = PackedWeights::make(codes);
    if (!packed) return packed.status();
    LinearOn made(codes.rows, codes.columns, std::move(backend));
    made.packed_ = *std::move(packed);
    made.codes_ = true;
    made.bits_per_weight_ = side_storage_bits(codes);
    if (mode == SiteMode::fake) {
      auto values = AlignedBuffer<float>::make(codes.rows * codes.columns);
      if (!values) return values.status();
      for (index r = 0; r < codes.rows; ++r)
        for (index c = 0; c < codes.columns; ++c) (*values)[r * codes.columns + c] = codes.value(r, c);
      auto panels = FloatPanels::make({values->data(), codes.rows, codes.columns});
      if (!panels) return panels.status();
      made.float_ = *std::move(panels);
      made.fake_ = true;
    }
    return with_bias(std::move(made), bias);
  }

  /// Weights that are packed already, owned or borrowed: borrowed ones must outlive the linear. Errors: a bias of
  /// another length, out of memory.
  [[nodiscard]] static Result<LinearOn> make(PackedWeights packed, std::span<const float> bias = {},
                                             B backend = {}) noexcept {
    const PackedWeightsView view = packed.view();
    LinearOn made(view.rows, view.columns, std::move(backend));
    made.packed_ = std::move(packed);
    made.codes_ = true;
    made.bits_per_weight_ = side_storage_bits(view);
    return with_bias(std::move(made), bias);
  }

  [[nodiscard]] index rows() const noexcept { return rows_; }        ///< output channels
  [[nodiscard]] index columns() const noexcept { return columns_; }  ///< input channels
  [[nodiscard]] bool has_codes() const noexcept { return codes_; }
  /// The packed codes, also of a simulated layer; empty where weights are float32.
  [[nodiscard]] PackedWeightsView packed() const noexcept { return packed_.view(); }
  /// The float32 panels; empty where weights are codes and the layer is not simulated.
  [[nodiscard]] FloatPanelsView float_panels() const noexcept { return float_.view(); }
  [[nodiscard]] std::span<const float> bias() const noexcept { return bias_.span(); }

  /// Bytes that multiply needs for outputs of type Y: float, Half or BFloat16.
  template <class Y = float>
  [[nodiscard]] std::size_t workspace_size(index rows, int workers = 1) const noexcept {
    const std::size_t bytes = buffer_alignment + static_cast<std::size_t>(workers) * scratch_bytes(rows);
    return std::same_as<Y, float> ? bytes : bytes + workspace_bytes<float>(std::min(rows, rows_at_a_time) * rows_);
  }

  /// Memory that the weights take where they run packed, side data and bias included.
  [[nodiscard]] std::size_t size_bytes() const noexcept {
    return (codes_ ? packed_.size_bytes() : float_.size_bytes()) + bias_.bytes().size();
  }
  /// Bits that a file holds per weight: codes, scales and zero points; 32 for float weights.
  [[nodiscard]] double bits_per_weight() const noexcept { return bits_per_weight_; }

  /// y = in · Wᵀ + b (+ residual, which may be y itself). y: rows × out, dense rows of any row stride, apart from the
  /// input. Errors: shapes that do not fit, overlap, a workspace that is too small. Allocates nothing.
  Status multiply(const QuantizedInput& in, MatrixView<float> y, Workspace workspace, ExecutorReference executor = {},
                  MatrixView<const float> residual = {}) const noexcept {
    if (const Status status = check(in, y, residual); !status) return status;
    if (y.empty()) return {};
    const index panels = panel_count(rows_), rows = in.rows();
    const int workers = executor.workers();
    const std::size_t each = scratch_bytes(rows);
    const auto scratch = workspace.take<std::byte>(static_cast<index>(each) * workers);
    if (scratch.size() < each * static_cast<std::size_t>(workers))
      return Status(ErrorCode::invalid_argument, "a linear of ", rows_, " x ", columns_, " needs a workspace of ",
                    each * static_cast<std::size_t>(workers), " bytes for ", rows, " rows and ", workers, " workers");
    const detail::ProductSplit split = detail::split_product(rows, panels, columns_, workers);
    executor.run(static_cast<int>(split.tasks()), [&](int task, int worker) noexcept {
      const Range row_range = part_of(rows, task % split.row_parts, split.row_parts);
      const Range panel_range = part_of(panels, task / split.row_parts, split.panel_parts);
      multiply_part(in, y, residual, row_range, panel_range,
                    scratch.subspan(static_cast<std::size_t>(worker) * each, each));
    });
    return {};
  }

  /// The same into 16 bits: bias and residual are added in float32, and the sum rounds once.
  template <SixteenBitFloat Y>
  Status multiply(const QuantizedInput& in, MatrixView<Y> y, Workspace workspace, ExecutorReference executor = {},
                  MatrixView<const std::type_identity_t<Y>> residual = {}) const noexcept {
    const index rows = in.rows();
    if (y.rows() != rows || y.columns() != rows_)
      return Status(ErrorCode::shape_mismatch, "the output is ", y.rows(), " x ", y.columns(), ", the product ", rows,
                    " x ", rows_);
    const bool adds = residual.data() != nullptr;
    if (adds && (residual.rows() != rows || residual.columns() != rows_))
      return Status(ErrorCode::shape_mismatch, "the residual is ", residual.rows(), " x ", residual.columns(),
                    ", the product ", rows, " x ", rows_);
    const index block = std::min(rows, rows_at_a_time);
    const auto memory = workspace.take<float>(block * rows_);
    if (static_cast<index>(memory.size()) < block * rows_)
      return Status(ErrorCode::invalid_argument, "16-bit outputs of ", rows, " x ", rows_, " need a workspace of ",
                    workspace_size<Y>(rows, executor.workers()), " bytes");
    for (index first = 0; first < rows; first += block) {
      const index count = std::min(block, rows - first);
      const MatrixView<float> part(memory.data(), count, rows_);
      if (adds) detail::widen_rows(residual.middle_rows(first, count), part);
      const Status status = multiply(in.middle_rows(first, count), part, workspace, executor,
                                     adds ? MatrixView<const float>(part) : MatrixView<const float>());
      if (!status) return status;
      detail::narrow_rows(MatrixView<const float>(part), y.middle_rows(first, count));
    }
    return {};
  }

  /// On what `prepare` left of its own workspace: for consumers that run one after another.
  Status multiply(const QuantizedInput& in, MatrixView<float> y, ExecutorReference executor = {}) const noexcept {
    return multiply(in, y, in.scratch, executor);
  }

  /// What runs for activations of so many bits (16: float32), and why: "w4 (nibble panels, per channel) x a8 -> integer
  /// GEMM, avx512vnni". Without bits: for codes and for float32.
  [[nodiscard]] std::string describe(int activation_bits) const {
    const std::string on = std::string(", ") + B::name;
    const std::string input = activation_bits == 16 ? " x a16" : " x a" + std::to_string(activation_bits);
    if (!codes_) return "w16 (float32 panels)" + input + " -> float GEMM" + on;
    const std::string weights = detail::describe_weights(packed_.view()) + input;
    if (fake_) return weights + ", simulated: float32 values of the codes -> float GEMM" + on;
    if (activation_bits == 16) return weights + " -> weight-only float GEMM" + on;
    return weights + " -> integer GEMM, " + detail::describe_integer_path(backend_, packed_.view());
  }
  [[nodiscard]] std::string describe() const {
    return reads_floats() ? describe(16) : describe(8) + "; " + describe(16);
  }

 private:
  template <class Any>
  friend Status multiply_together(std::span<const SiteProduct<Any>>, Workspace, ExecutorReference) noexcept;

  LinearOn(index rows, index columns, B backend) : rows_(rows), columns_(columns), backend_(std::move(backend)) {}

  static Result<LinearOn> with_bias(LinearOn made, std::span<const float> bias) noexcept {
    if (bias.empty()) return made;
    if (static_cast<index>(bias.size()) != made.rows_)
      return Status(ErrorCode::shape_mismatch, "a bias of ", bias.size(), " values for ", made.rows_, " channels");
    auto copy = AlignedBuffer<float>::make(made.rows_);
    if (!copy) return copy.status();
    for (std::size_t i = 0; i < bias.size(); ++i) {
      if (!is_finite(bias[i])) return Status(ErrorCode::not_finite, "the bias of channel ", i, " is not finite");
      copy->span()[i] = bias[i];
    }
    made.bias_ = *std::move(copy);
    return made;
  }

  template <class Weights>
  [[nodiscard]] static double side_storage_bits(const Weights& codes) noexcept {
    if (codes.columns == 0) return codes.bits;
    const int side = 32 + (codes.symmetry == Symmetry::asymmetric ? 8 : 0);
    return codes.bits + static_cast<double>(side * codes.groups()) / static_cast<double>(codes.columns);
  }

  /// Rows that are computed in float32 before they are rounded to 16 bits.
  static constexpr index rows_at_a_time = 128;
  /// Rows of codes that float weights dequantize at a time.
  static constexpr index block_rows = 32;

  [[nodiscard]] std::size_t scratch_bytes(index rows) const noexcept {
    const std::size_t bytes = multiply_scratch_bytes(backend_, rows, columns_, codes_ ? packed_.view().groups() : 1);
    return workspace_bytes<std::byte>(static_cast<index>(bytes)) +
           (reads_floats() ? workspace_bytes<float>(std::min(rows, block_rows) * columns_) : 0);
  }
  [[nodiscard]] bool reads_floats() const noexcept { return fake_ || !codes_; }

  [[nodiscard]] Status check(const QuantizedInput& in, MatrixView<float> y,
                             MatrixView<const float> residual) const noexcept {
    const index rows = in.rows();
    if (in.columns() != columns_)
      return Status(ErrorCode::shape_mismatch, "a linear of ", columns_, " input channels got ", in.columns());
    if (y.rows() != rows || y.columns() != rows_)
      return Status(ErrorCode::shape_mismatch, "the output is ", y.rows(), " x ", y.columns(), ", the product ", rows,
                    " x ", rows_);
    if (residual.data() != nullptr && (residual.rows() != rows || residual.columns() != rows_))
      return Status(ErrorCode::shape_mismatch, "the residual is ", residual.rows(), " x ", residual.columns(),
                    ", the product ", rows, " x ", rows_);
    if (!y.has_dense_rows() || !residual.has_dense_rows())
      return Status(ErrorCode::unsupported, "the rows of outputs and residuals must be contiguous");
    if (in.is_float() && may_overlap(in.values, y))
      return Status(ErrorCode::invalid_argument, "the output overlaps the input");
    return {};
  }

  void multiply_part(const QuantizedInput& in, MatrixView<float> y, MatrixView<const float> residual, Range rows,
                     Range panels, std::span<std::byte> scratch) const noexcept {
    const index first = rows.begin, count = rows.end - rows.begin;
    const Epilogue epilogue{bias_.empty() ? nullptr : bias_.data(),
                            residual.data() == nullptr ? residual : residual.middle_rows(first, count)};
    const MatrixView<float> out = y.middle_rows(first, count);
    if (!reads_floats() && !in.is_float())
      return planish::multiply(backend_, in.codes.middle_rows(first, count), packed_.view(), epilogue, out, panels,
                               scratch);
    if (!reads_floats())
      return planish::multiply(backend_, in.values.middle_rows(first, count), packed_.view(), epilogue, out, panels,
                               scratch);
    if (in.is_float())
      return planish::multiply(backend_, in.values.middle_rows(first, count), float_.view(), epilogue, out, panels,
                               scratch);
    Workspace workspace(scratch);
    const index block = std::min(in.rows(), block_rows);
    float* const values = workspace.take<float>(block * columns_).data();
    for (index r = 0; r < count; r += block) {
      const index some = std::min(block, count - r);
      const MatrixView<float> tile(values, some, columns_);
      dequantize(backend_, in.codes.middle_rows(first + r, some), tile);
      Epilogue part = epilogue;
      if (part.has_residual()) part.residual = part.residual.middle_rows(r, some);
      planish::multiply(backend_, MatrixView<const float>(tile), float_.view(), part, out.middle_rows(r, some), panels,
                        scratch.subspan(workspace_bytes<float>(block * columns_)));
    }
  }

  index rows_ = 0, columns_ = 0;
  bool codes_ = false, fake_ = false;
  double bits_per_weight_ = 32.0;
  PackedWeights packed_;
  FloatPanels float_;
  AlignedBuffer<float> bias_;
  [[no_unique_address]] B backend_;
};

}  // namespace planish::inline PLANISH_ABI
