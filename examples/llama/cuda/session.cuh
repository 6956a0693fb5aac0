#pragma once
#include <map>
#include <memory>
#include <vector>

#include "batch.cuh"
#include "model.cuh"

namespace llama::gpu {

/// Caches and one workspace, all of it asked for at construction. A pass takes up to `most_rows` rows; longer ones are
/// cut. A step of decoding, head included, is one graph, captured the second time that so many sequences take one.
class ResidentSession final : public DeviceSession {
 public:
  ResidentSession(std::shared_ptr<const ResidentModel> model, int sequences, int capacity);
  ~ResidentSession() override;
  ResidentSession(const ResidentSession&) = delete;
  ResidentSession& operator=(const ResidentSession&) = delete;

  planish::MatrixView<const float> forward(std::span<const Segment> segments, std::span<const planish::index> tokens,
                                           std::span<const int> ids) override;
  planish::MatrixView<const float> logits(planish::MatrixView<const float> hidden) override;

 private:
  static constexpr int scored_rows = 64;  // of logits at a time

  Activations lay_out(Carver& carver);
  void pass(const Batch& batch);
  void enqueue(const Batch& batch);
  void finish();

  std::shared_ptr<const ResidentModel> model_;
  int sequences_, most_rows_;
  Run run_;
  DeviceArray<float> cosines_, sines_;
  std::vector<DeviceCache> caches_;
  BatchWords words_;
  Memory workspace_, zeroed_;
  Activations activations_;
  float *x_ = nullptr, *hidden_ = nullptr, *logits_ = nullptr;  // of the device
  Memory host_hidden_, host_logits_, host_bad_rows_;
  std::vector<float> long_hidden_, long_logits_;  // of more rows than a pass has
  int logits_rows_ = 0;                           // of the last decoding step
  std::map<int, cudaGraphExec_t> graphs_;         // by sequences; null: met once
};

}  // namespace llama::gpu
