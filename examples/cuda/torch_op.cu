// The fused linear of fused_linear.cu behind plain functions, for the PyTorch operator in torch_op.cpp.
#include <algorithm>
#include <stdexcept>
#include <string>

#include <planish/cuda.cuh>

#include "torch_op.hpp"

namespace pl = planish;
namespace gpu = planish::kernels::cuda;

namespace fused {
namespace {

void require(const pl::Status& status) {
  if (!status.ok()) throw std::invalid_argument("planish: " + std::string(status.message()));
}
template <class T>
T require(pl::Result<T> result) {
  if (!result) require(result.status());
  return *std::move(result);
}

const gpu::DeviceCapabilities& device() {
  static const auto found = require(gpu::query_device(0));  // of one kind all GPUs
  return found;
}

gpu::MultiplyPlan product_plan(const Call& call) {
  return require(gpu::plan_multiply({.rows = call.rows,
                                     .channels = call.channels,
                                     .columns = call.n1 * call.n2,
                                     .stored_bits = call.weight_bits <= 4 ? 4 : 8},
                                    device()));
}

gpu::FragmentWeightsView shape_of(int channels, int columns, int bits) {
  gpu::FragmentWeightsView view;
  view.stored_bits = bits <= 4 ? 4 : 8;
  view.channels = channels;
  view.columns = columns;
  return view;
}

}  // namespace

std::int64_t workspace_bytes(const Call& call) { return product_plan(call).workspace_bytes; }

void run(const Call& call) {
  const auto stream = static_cast<cudaStream_t>(call.stream);
  const int columns = call.n1 * call.n2;
  gpu::KroneckerArguments transform;
  transform.x = call.x;
  transform.row_stride = columns;
  transform.factors.n1 = call.n1;
  transform.factors.n2 = call.n2;
  transform.factors.left = reinterpret_cast<const std::uint16_t*>(call.left);
  transform.factors.right = reinterpret_cast<const std::uint16_t*>(call.right);
  if (transform.factors.panels_size() > 0)
    transform.factors.panels = reinterpret_cast<const std::uint16_t*>(call.panels);
  transform.quantizer.bits = call.bits;
  transform.out.codes = call.codes;
  transform.out.rows = call.rows;
  transform.out.columns = transform.out.stride = columns;
  transform.out.scales = call.token_scales;
  const auto transform_plan = require(gpu::plan_kronecker({.rows = call.rows, .n1 = call.n1, .n2 = call.n2}, device()));

  gpu::MultiplyArguments product;
  product.x = transform.out;
  product.w = shape_of(call.channels, columns, call.weight_bits);
  product.w.units = call.units;
  product.w.scales = call.scales;
  product.w.sums = call.sums;
  product.bias = call.bias;
  product.y = call.y;
  product.y_stride = call.channels;
  product.workspace = call.workspace;
  const auto plan = product_plan(call);
  require(gpu::prepare(transform_plan, transform));
  require(gpu::prepare(plan, product));
  require(gpu::launch(transform_plan, transform, stream));
  require(gpu::launch(plan, product, stream));
}

std::int64_t unit_bytes(int channels, int columns, int bits) { return shape_of(channels, columns, bits).size_bytes(); }
std::int64_t side_count(int channels, int columns, int bits) { return shape_of(channels, columns, bits).side_count(); }
std::int64_t left_size(int n1) { return gpu::KroneckerFactorsView{.n1 = n1, .n2 = 1}.left_size(); }
std::int64_t right_size(int n2) { return gpu::KroneckerFactorsView{.n1 = 1, .n2 = n2}.right_size(); }
std::int64_t panels_size(int n1, int n2) { return gpu::KroneckerFactorsView{.n1 = n1, .n2 = n2}.panels_size(); }

void pack_weights(const std::int8_t* codes, const float* scales, int channels, int columns, int bits,
                  std::uint8_t* units, float* unit_scales, std::int32_t* sums) {
  pl::CodesView view;
  view.codes = reinterpret_cast<const std::uint8_t*>(codes);
  view.rows = channels;
  view.columns = view.group_size = columns;
  view.bits = bits;
  view.scales = scales;
  const auto packed = require(gpu::FragmentWeights::make(view));
  const auto made = packed.view();
  std::copy_n(made.units, made.size_bytes(), units);
  std::copy_n(made.scales, made.side_count(), unit_scales);
  std::copy_n(made.sums, made.side_count(), sums);
}

void pack_factors(const float* left, int n1, const float* right, int n2, std::int16_t* lefts, std::int16_t* rights,
                  std::int16_t* panels) {
  const auto packed = require(gpu::KroneckerFactors::make(n1, n2, left, right, gpu::ElementType::bfloat16));
  const auto made = packed.view();
  std::copy_n(reinterpret_cast<const std::int16_t*>(made.left), made.left_size(), lefts);
  std::copy_n(reinterpret_cast<const std::int16_t*>(made.right), made.right_size(), rights);
  std::copy_n(reinterpret_cast<const std::int16_t*>(packed.panels()), made.panels_size(), panels);
}

}  // namespace fused
