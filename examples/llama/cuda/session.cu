#include <algorithm>

#include "session.cuh"

namespace llama::gpu {
namespace {

using planish::index;
using planish::MatrixView;

constexpr int longest_pass = 2048;  // rows

int pages_of(int capacity) {
  return (capacity + planish::kernels::cuda::cache_page - 1) / planish::kernels::cuda::cache_page;
}

}  // namespace

ResidentSession::ResidentSession(std::shared_ptr<const ResidentModel> model, int sequences, int capacity)
    : model_(std::move(model)),
      sequences_(sequences),
      most_rows_(std::max({std::min(sequences * capacity, longest_pass), sequences, scored_rows})),
      cosines_(model_->rotary_values(capacity, false)),
      sines_(model_->rotary_values(capacity, true)),
      words_(most_rows_, sequences, capacity, pages_of(capacity)) {
  const Sizes& sizes = model_->sizes();
  std::int64_t zeroed = model_->workspace_bytes(most_rows_, std::max(scored_rows, sequences_)), rows = 0;
  for (const DeviceLayer& layer : model_->layers()) {
    const CacheImage image = layer.cache(sequences, capacity);
    caches_.emplace_back(image, model_->device(), layer.where());
    zeroed = std::max(zeroed, caches_.back().workspace_bytes(model_->device()));
    if (image.has_codes()) rows = 2 * image.row_floats();
  }
  const auto lay_out_all = [&](void* base) {
    Carver carver(base);
    activations_ = lay_out(carver);
    activations_.cache_rows = rows == 0 ? nullptr : carver.take<float>(rows);
    run_.values = carver.take<float>(std::int64_t{most_rows_} * sizes.widest());
    run_.bad_rows = carver.take<std::int32_t>(1);
    return carver.used();
  };
  workspace_ = Memory(lay_out_all(nullptr), Memory::Place::device);
  lay_out_all(workspace_.data());
  zeroed_ = Memory(static_cast<std::size_t>(zeroed), Memory::Place::device);
  if (zeroed > 0) require(cudaMemset(zeroed_.data(), 0, static_cast<std::size_t>(zeroed)), "clearing a workspace");
  run_.zeroed = zeroed_.data();
  run_.device = model_->device();
  host_hidden_ = Memory(static_cast<std::size_t>(most_rows_) * sizes.hidden * sizeof(float), Memory::Place::host);
  host_logits_ = Memory(static_cast<std::size_t>(std::max(scored_rows, sequences_)) * sizes.vocabulary * sizeof(float),
                        Memory::Place::host);
  host_bad_rows_ = Memory(sizeof(std::int32_t), Memory::Place::host);
  require(cudaStreamCreateWithFlags(&run_.stream, cudaStreamNonBlocking), "making a stream");
}

ResidentSession::~ResidentSession() {
  if (run_.stream != nullptr) cudaStreamSynchronize(run_.stream);
  for (const auto& [rows, graph] : graphs_)
    if (graph != nullptr) cudaGraphExecDestroy(graph);
  if (run_.stream != nullptr) cudaStreamDestroy(run_.stream);
}

Activations ResidentSession::lay_out(Carver& carver) {
  const Sizes& s = model_->sizes();
  const auto rows_of = [&](int columns) { return carver.take<float>(std::int64_t{most_rows_} * columns); };
  x_ = rows_of(s.hidden);
  hidden_ = rows_of(s.hidden);
  logits_ = carver.take<float>(std::int64_t{std::max(scored_rows, sequences_)} * s.vocabulary);
  Activations a;
  a.normed = rows_of(s.hidden);
  a.query = rows_of(s.query());
  a.key = rows_of(s.kv());
  a.value = rows_of(s.kv());
  a.attended = rows_of(s.query());
  a.gate = rows_of(s.ffn);
  a.up = rows_of(s.ffn);
  for (int i = 0; i < 2; ++i) {
    a.turned_query[i] = rows_of(s.query());
    a.turned_key[i] = rows_of(s.kv());
    a.site.between[i] = rows_of(s.widest());
  }
  for (planish::QuantizedRowsSpan& codes : a.site.codes) {
    codes.codes = carver.take<std::int8_t>(most_rows_ * code_stride(s.widest()));
    codes.scales = carver.take<float>(most_rows_);
    codes.sums = carver.take<std::int32_t>(most_rows_);
    codes.zero_points = carver.take<std::int32_t>(most_rows_);
  }
  return a;
}

/// All kernels and copies of a pass, onto the stream.
void ResidentSession::enqueue(const Batch& batch) {
  words_.copy(batch, run_.stream);
  require(cudaMemsetAsync(run_.bad_rows, 0, sizeof(std::int32_t), run_.stream), "clearing a counter");
  model_->embed(batch, x_, run_);
  const RotaryTable rope = model_->rotary_table(cosines_.data(), sines_.data());
  for (std::size_t layer = 0; layer < caches_.size(); ++layer)
    model_->layers()[layer].forward(x_, batch, rope, caches_[layer], activations_, run_);
  model_->normalise(x_, batch.rows, hidden_, run_);
  const auto fetch = [&](void* to, const void* from, std::size_t bytes) {
    require(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, run_.stream), "copying from the GPU");
  };
  const std::size_t rows = static_cast<std::size_t>(batch.rows);
  fetch(host_hidden_.data(), hidden_, rows * model_->sizes().hidden * sizeof(float));
  if (batch.decodes()) {
    model_->logits(hidden_, batch.rows, logits_, activations_.site, run_);
    fetch(host_logits_.data(), logits_, rows * model_->sizes().vocabulary * sizeof(float));
  }
  fetch(host_bad_rows_.data(), run_.bad_rows, sizeof(std::int32_t));
}

void ResidentSession::finish() {
  require(cudaStreamSynchronize(run_.stream), "a pass on the GPU");
  const std::int32_t bad = *static_cast<const std::int32_t*>(host_bad_rows_.data());
  if (bad > 0) fail("--backend cuda: ", bad, " rows of activations, keys or values hold NaN or infinity");
}

void ResidentSession::pass(const Batch& batch) {
  const auto met = graphs_.find(batch.rows);
  if (!batch.decodes() || met == graphs_.end()) {
    enqueue(batch);
    finish();
    if (batch.decodes()) graphs_[batch.rows] = nullptr;  // its kernels are loaded: the next one may capture them
    return;
  }
  if (met->second == nullptr) {
    cudaGraph_t graph = nullptr;
    require(cudaStreamBeginCapture(run_.stream, cudaStreamCaptureModeThreadLocal), "capturing a step");
    enqueue(batch);
    require(cudaStreamEndCapture(run_.stream, &graph), "capturing a step");
    const cudaError_t error = cudaGraphInstantiate(&met->second, graph, 0);
    cudaGraphDestroy(graph);
    require(error, "making a graph");
  }
  require(cudaGraphLaunch(met->second, run_.stream), "starting a graph");
  finish();
}

MatrixView<const float> ResidentSession::forward(std::span<const Segment> segments, std::span<const index> tokens,
                                                 std::span<const int> ids) {
  const Sizes& sizes = model_->sizes();
  const auto rows = static_cast<index>(ids.size());
  for (const int id : ids)
    if (id < 0 || id >= sizes.vocabulary) fail("token id ", id, " is not in the vocabulary of ", sizes.vocabulary);
  const auto* const made = static_cast<const float*>(host_hidden_.data());
  logits_rows_ = 0;
  const bool at_once = rows <= most_rows_;
  if (!at_once) long_hidden_.resize(static_cast<std::size_t>(rows * sizes.hidden));
  std::vector<index> held(tokens.begin(), tokens.end());
  std::vector<Segment> part;  // what the next pass takes
  index first = 0, count = 0;
  const auto run_part = [&] {
    if (count == 0) return;
    const Batch batch =
        words_.describe(part, held, ids.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    pass(batch);
    if (batch.decodes()) logits_rows_ = batch.rows;
    if (!at_once) std::copy_n(made, count * sizes.hidden, long_hidden_.begin() + first * sizes.hidden);
    for (const Segment& s : part) held[static_cast<std::size_t>(s.sequence)] += s.rows;
    part.clear();
    first += count;
    count = 0;
  };
  for (Segment segment : segments)
    while (segment.rows > 0) {
      const index taken = std::min<index>(segment.rows, most_rows_ - count);
      part.push_back({segment.sequence, taken});
      count += taken;
      segment.rows -= taken;
      if (count == most_rows_) run_part();
    }
  run_part();
  if (!at_once) logits_rows_ = 0;
  return {at_once ? made : long_hidden_.data(), rows, sizes.hidden};
}

MatrixView<const float> ResidentSession::logits(MatrixView<const float> hidden) {
  const Sizes& sizes = model_->sizes();
  const auto* const made = static_cast<const float*>(host_logits_.data());
  if (hidden.data() == host_hidden_.data() && hidden.rows() == logits_rows_)
    return {made, hidden.rows(), sizes.vocabulary};
  const auto row_bytes = static_cast<std::size_t>(sizes.vocabulary) * sizeof(float);
  const bool at_once = hidden.rows() <= scored_rows;
  if (!at_once) long_logits_.resize(static_cast<std::size_t>(hidden.rows() * sizes.vocabulary));
  for (index row = 0; row < hidden.rows(); row += scored_rows) {
    const index count = std::min<index>(scored_rows, hidden.rows() - row);
    require(cudaMemcpyAsync(hidden_, hidden.row(row), static_cast<std::size_t>(count * sizes.hidden) * sizeof(float),
                            cudaMemcpyHostToDevice, run_.stream),
            "copying to the GPU");
    require(cudaMemsetAsync(run_.bad_rows, 0, sizeof(std::int32_t), run_.stream), "clearing a counter");
    model_->logits(hidden_, static_cast<int>(count), logits_, activations_.site, run_);
    require(cudaMemcpyAsync(host_logits_.data(), logits_, static_cast<std::size_t>(count) * row_bytes,
                            cudaMemcpyDeviceToHost, run_.stream),
            "copying from the GPU");
    require(cudaMemcpyAsync(host_bad_rows_.data(), run_.bad_rows, sizeof(std::int32_t), cudaMemcpyDeviceToHost,
                            run_.stream),
            "copying from the GPU");
    finish();
    if (!at_once) std::copy_n(made, count * sizes.vocabulary, long_logits_.begin() + row * sizes.vocabulary);
  }
  logits_rows_ = 0;
  return {at_once ? made : long_logits_.data(), hidden.rows(), sizes.vocabulary};
}

}  // namespace llama::gpu
