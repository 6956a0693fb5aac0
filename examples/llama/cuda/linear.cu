#include <algorithm>

#include <planish/kernels/cuda/multiply_plan.cuh>

#include "linear.cuh"

namespace llama::gpu {
namespace {

namespace pc = planish::kernels::cuda;

planish::CodesView view_of(const LinearImage& image) {
  planish::CodesView view;
  view.codes = image.codes.data();
  view.rows = image.rows;
  view.columns = image.columns;
  view.bits = image.bits;
  view.symmetry = image.asymmetric ? planish::Symmetry::asymmetric : planish::Symmetry::symmetric;
  view.group_size = image.group_columns;
  view.scales = image.scales.data();
  view.zero_points = image.zeros.empty() ? nullptr : image.zeros.data();
  return view;
}

template <class T>
DeviceArray<T> copy_of(const T* values, planish::index count) {
  return DeviceArray<T>(std::span<const T>(values, values == nullptr ? 0 : static_cast<std::size_t>(count)));
}

pc::MultiplyShape shape_of(const pc::FragmentWeightsView& w, int tokens) {
  return {.rows = tokens,
          .channels = w.channels,
          .columns = w.columns,
          .stored_bits = w.stored_bits,
          .output = pc::ElementType::float32,
          .group_columns = w.group_columns};
}

}  // namespace

DeviceLinear::DeviceLinear(const LinearImage& image, const pc::DeviceCapabilities& device)
    : name_(image.name), rows_(image.rows), columns_(image.columns), bias_(image.bias) {
  if (image.reads_codes && image.bits < 16) {
    const auto weights = llama::require(pc::FragmentWeights::make(view_of(image)), name_);
    shape_ = weights.view();
    units_ = copy_of(shape_.units, shape_.size_bytes());
    unit_scales_ = copy_of(shape_.scales, shape_.side_count());
    unit_zeros_ = copy_of(shape_.zeros, shape_.side_count());
    unit_sums_ = copy_of(shape_.sums, shape_.side_count());
    if (const auto plan = pc::plan_multiply(shape_of(shape_, 1), device); !plan) llama::require(plan.status(), name_);
    return;
  }
  values_ = DeviceArray<float>(image.weights);
  codes_ = DeviceArray<std::uint8_t>(image.codes);
  scales_ = DeviceArray<float>(image.scales);
  zeros_ = DeviceArray<std::uint8_t>(image.zeros);
  matrix_ = {.rows = rows_,
             .columns = columns_,
             .values = values_.data(),
             .codes = codes_.data(),
             .asymmetric = image.asymmetric,
             .scales = scales_.data(),
             .zeros = zeros_.data()};
  if (image.bits == 16) return;
  matrix_.group_columns = std::max(image.group_columns, 1);
  matrix_.groups = (columns_ + matrix_.group_columns - 1) / matrix_.group_columns;
}

pc::FragmentWeightsView DeviceLinear::fragments() const noexcept {
  pc::FragmentWeightsView view = shape_;
  view.units = units_.data();
  view.scales = unit_scales_.data();
  view.zeros = unit_zeros_.data();
  view.sums = unit_sums_.data();
  return view;
}

void DeviceLinear::multiply(const SiteInput& in, int tokens, const float* residual, float* y, const Run& run) const {
  if (in.values != nullptr) return multiply_floats(in.values, tokens, residual, y, run);
  if (units_.data() == nullptr) {  // weights that stay float meet the values of codes
    start(dequantize_rows<>, tokens, row_threads, 0, run, in.codes, run.values);
    return multiply_floats(run.values, tokens, residual, y, run);
  }
  pc::MultiplyArguments arguments;
  arguments.x = in.codes;
  arguments.w = fragments();
  arguments.bias = bias_.data();
  arguments.residual = residual;
  arguments.residual_stride = rows_;
  arguments.y = y;
  arguments.y_stride = rows_;
  arguments.workspace = run.zeroed;
  launch(pc::plan_multiply(shape_of(shape_, tokens), run.device), arguments, run, name_);
}

void DeviceLinear::multiply_floats(const float* x, int tokens, const float* residual, float* y, const Run& run) const {
  const FloatProduct product{
      .x = x, .tokens = tokens, .w = matrix_, .bias = bias_.data(), .residual = residual, .y = y};
  const int streams = (rows_ + stream_warps - 1) / stream_warps;
  if (tokens == 1) return start(stream_float_product<1>, streams, stream_threads, 0, run, product);
  if (tokens <= 8) return start(stream_float_product<8>, streams, stream_threads, 0, run, product);
  const int token_tiles = (tokens + tile_side - 1) / tile_side, channel_tiles = (rows_ + tile_side - 1) / tile_side;
  start(tile_float_product<>, std::int64_t{token_tiles} * channel_tiles, tile_threads, tile_shared_bytes, run, product,
        token_tiles);
}

std::int64_t DeviceLinear::workspace_bytes(int most_tokens, const pc::DeviceCapabilities& device) const {
  if (units_.data() == nullptr) return 0;
  std::int64_t most = 0;
  for (int tokens = 1; tokens <= most_tokens; ++tokens)
    if (const auto plan = pc::plan_multiply(shape_of(shape_, tokens), device))
      most = std::max(most, plan->workspace_bytes);
  return most;
}

}  // namespace llama::gpu
