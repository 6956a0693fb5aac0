#include <planish/kernels/cuda/kronecker_plan.cuh>
#include <planish/kernels/cuda/quantize_rows.cuh>

#include "row_kernels.cuh"
#include "site.cuh"

namespace llama::gpu {
namespace {

namespace pc = planish::kernels::cuda;

planish::RowQuantizer quantizer_of(const QuantizerImage& image) {
  planish::RowQuantizer q{.bits = image.bits};
  q.symmetry = image.asymmetric ? planish::Symmetry::asymmetric : planish::Symmetry::symmetric;
  q.clip = {image.positive_clip, image.negative_clip};
  q.static_scale = image.static_scale;
  q.static_zero_point = image.static_zero_point;
  return q;
}

/// Float32 arithmetic in the order of the CPU, so that equal inputs give equal codes.
planish::Result<pc::KroneckerPlan> plan_of(const DeviceSteps::Step& step, int rows, const Run& run,
                                           const Before& before = {}) {
  pc::KroneckerShape shape{.rows = rows,
                           .n1 = step.n1,
                           .n2 = step.n2,
                           .input = pc::ElementType::float32,
                           .arithmetic = pc::ElementType::float32};
  shape.prologue = before.prologue;
  return pc::plan_kronecker(shape, run.device);
}

pc::ExactArguments arguments_of(const DeviceSteps::Step& step, const float* x, const Before& before) {
  pc::ExactArguments arguments;
  arguments.x = x;
  arguments.row_stride = step.n1 * step.n2;
  arguments.factors = {step.n1, step.n2, step.left.data(), step.right.data()};
  arguments.factor = step.factor;
  arguments.prologue = before.arguments;
  arguments.prologue.offset = step.offset.data();
  arguments.prologue.scale = step.scale.data();
  return arguments;
}

}  // namespace

DeviceSteps::DeviceSteps(const std::vector<StepImage>& steps, int channels, const pc::DeviceCapabilities& device,
                         std::string where)
    : channels_(channels), where_(std::move(where)) {
  for (const StepImage& image : steps) {
    Step& step = steps_.emplace_back();
    step.offset = DeviceArray<float>(image.offset);
    step.scale = DeviceArray<float>(image.scale);
    step.left = DeviceArray<float>(image.left);
    step.right = DeviceArray<float>(image.right);
    step.n1 = image.n1;
    step.n2 = image.n2;
    step.factor = image.factor;
    if (image.is_kronecker())
      if (const auto plan = plan_of(step, 1, {.device = device}); !plan) llama::require(plan.status(), where_);
  }
}

const float* DeviceSteps::apply(std::size_t count, const float* x, int rows, float* first, float* second,
                                const Run& run, const Before& before) const {
  for (std::size_t i = 0; i < count; ++i) {
    float* const y = i % 2 == 0 ? first : second;
    const Step& step = steps_[i];
    if (step.n1 == 0) {
      start(map_rows<>, rows, row_threads, 0, run, x, step.offset.data(), step.scale.data(), channels_, y);
    } else {
      const Before meets = i == 0 ? before : Before{};
      pc::ExactArguments arguments = arguments_of(step, x, meets);
      arguments.y = y;
      arguments.y_stride = channels_;
      launch(plan_of(step, rows, run, meets), arguments, run, where_);
    }
    x = y;
  }
  return x;
}

DeviceSite::DeviceSite(const SiteImage& image, const pc::DeviceCapabilities& device, const std::string& where)
    : channels_(image.channels),
      steps_(image.steps, image.channels, device, where),
      input_of_(image.input_of),
      where_(where) {
  for (const QuantizerImage& quantizer : image.quantizers) quantizers_.push_back(quantizer_of(quantizer));
}

std::array<SiteInput, 3> DeviceSite::prepare(const float* x, int rows, const SiteBuffers& buffers, const Run& run,
                                             const Before& before) const {
  std::array<SiteInput, 3> distinct, inputs;
  const auto codes_of = [&](std::size_t i) {
    planish::QuantizedRowsSpan codes = buffers.codes[i];
    codes.rows = rows;
    codes.columns = channels_;
    codes.stride = code_stride(channels_);
    if (quantizers_[i].symmetry == planish::Symmetry::symmetric) codes.zero_points = nullptr;
    return codes;
  };
  std::size_t steps = steps_.all().size();
  const bool joint = steps > 0 && steps_.all().back().n1 != 0 && quantizers_.size() == 1 && quantizers_[0].bits < 16;
  if (joint) --steps;  // the last product goes straight to codes
  x = steps_.apply(steps, x, rows, buffers.between[0], buffers.between[1], run, before);
  const Before meets = steps == 0 ? before : Before{};  // where the first product is the last
  for (std::size_t i = 0; i < quantizers_.size(); ++i) {
    if (quantizers_[i].bits == 16) {
      distinct[i].values = x;
      continue;
    }
    planish::QuantizedRowsSpan codes = codes_of(i);
    if (joint) {
      const DeviceSteps::Step& step = steps_.all().back();
      pc::ExactArguments arguments = arguments_of(step, x, meets);
      arguments.quantizer = quantizers_[i];
      arguments.out = codes;
      arguments.bad_rows = run.bad_rows;
      launch(plan_of(step, rows, run, meets), arguments, run, where_);
    } else {
      quantize(x, rows, quantizers_[i], codes, run);
    }
    distinct[i].codes = codes;
  }
  for (std::size_t consumer = 0; consumer < input_of_.size(); ++consumer)
    inputs[consumer] = distinct[static_cast<std::size_t>(input_of_[consumer])];
  return inputs;
}

void DeviceSite::quantize(const float* x, int rows, const planish::RowQuantizer& quantizer,
                          planish::QuantizedRowsSpan& codes, const Run& run) const {
  pc::QuantizeArguments arguments;
  arguments.x = x;
  arguments.row_stride = channels_;
  arguments.quantizer = quantizer;
  arguments.out = codes;
  arguments.bad_rows = run.bad_rows;
  launch(pc::plan_quantize(
             {.rows = rows, .columns = channels_, .input = pc::ElementType::float32, .aligned = channels_ % 4 == 0},
             run.device),
         arguments, run, where_);
}

}  // namespace llama::gpu
