#pragma once
#include <array>
#include <string>
#include <vector>

#include <planish/transform/dense.hpp>
#include <planish/transform/scale.hpp>

#include "../block.hpp"
#include "../site_activations.hpp"

namespace llama {

/// A quantized block whose sites run one at a time on the float model's own inputs. What its producers absorbed (norm
/// gains, the rows of up and v) is applied to the inputs and taken back from the outputs, so that these compare with
/// the float layers'.
class SiteOutputs {
 public:
  SiteOutputs(const Config& config, BlockParameters parameters, const std::string& where)
      : config_(config), block_(config, std::move(parameters), planish::SiteMode::packed, where) {
    for (SiteKind kind : site_kinds) absorbed_.push_back(AnyTransform::identity(channels_at(kind, config)));
  }

  /// What the producers of the sites absorbed of learned parameters, in model order.
  void take_absorbed(const FlatQuantParameters& learned, const std::string& where) {
    for (SiteKind kind : site_kinds)
      absorbed_[static_cast<std::size_t>(kind)] = std::move(
          flatquant_transform(learned, kind, config_, where).split(producer_of(kind), config_.head_size).absorbed);
    const auto& head = learned.transform(block_site(SiteKind::output)).right;
    if (!head.empty() && !absorbed(SiteKind::output).is_identity())
      value_back_ = AnyTransform(inverse(require(Dense::make(head.matrix, head.inverse_transpose, config_.head_size))));
    const std::vector<float>& scale = learned.transform(block_site(SiteKind::down)).scale;
    if (!scale.empty()) up_back_ = AnyTransform(require(planish::Scale::make(scale), where).dual());
  }

  /// Calls `use(projection, y)` for the matrices that read a site; x: tokens × channels.
  template <class Use>
  void run(SiteKind kind, MatrixView<const float> x, ExecutorReference executor, Use&& use) {
    std::vector<float> turned;
    if (!absorbed(kind).is_identity()) {
      turned = rows_after(absorbed(kind), std::vector<float>(x.data(), x.data() + x.size()));
      x = {turned.data(), x.rows(), x.columns()};
    }
    std::vector<Projection> readers;
    std::size_t bytes = 0;
    for (Projection p : projections) {
      if (site_of(p) != kind) continue;
      readers.push_back(p);
      bytes = std::max(bytes, block_.linear(p).workspace_size(x.rows(), executor.workers()));
    }
    const planish::AnySite& site = block_.site(kind);
    planish::Workspace workspace(workspace_.span(site.workspace_size(x.rows(), executor.workers()) + bytes));
    std::array<planish::QuantizedInput, 3> in;
    require(site.prepare(x, std::span(in).first(readers.size()), workspace, executor), to_string(kind));
    for (std::size_t i = 0; i < readers.size(); ++i) {
      const planish::AnyLinear& linear = block_.linear(readers[i]);
      std::vector<float> y(static_cast<std::size_t>(x.rows() * linear.rows()));
      require(linear.multiply(in[i], {y.data(), x.rows(), linear.rows()}, workspace, executor), name_of(readers[i]));
      const AnyTransform& back = readers[i] == Projection::value ? value_back_ : up_back_;
      if ((readers[i] == Projection::value || readers[i] == Projection::up) && !back.is_identity())
        y = rows_after(back, y);
      use(readers[i], MatrixView<const float>(y.data(), x.rows(), linear.rows()));
    }
  }

  /// x A⁻¹ for the stage x A.
  [[nodiscard]] static planish::Dense inverse(const planish::Dense& stage) {
    const index n = stage.size();
    const auto transposed = [n](const float* matrix) {
      std::vector<float> turned(static_cast<std::size_t>(n * n));
      for (index i = 0; i < n; ++i)
        for (index j = 0; j < n; ++j) turned[static_cast<std::size_t>(j * n + i)] = matrix[i * n + j];
      return turned;
    };
    return require(Dense::make(transposed(stage.inverse_transpose<float>()), transposed(stage.matrix<float>()), n));
  }

 private:
  using Dense = planish::Dense;

  [[nodiscard]] static planish::Producer producer_of(SiteKind kind) noexcept {
    if (kind == SiteKind::output) return planish::Producer::attention_values;
    return kind == SiteKind::down ? planish::Producer::gated_product : planish::Producer::norm_gain;
  }
  [[nodiscard]] const AnyTransform& absorbed(SiteKind kind) const { return absorbed_[static_cast<std::size_t>(kind)]; }

  Config config_;
  Block block_;
  std::vector<AnyTransform> absorbed_;  // by SiteKind
  AnyTransform value_back_, up_back_;   // of the outputs of v, head by head, and of up
  ScratchBytes workspace_;
};

}  // namespace llama
