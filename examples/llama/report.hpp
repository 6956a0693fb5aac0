#pragma once
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "evaluate.hpp"
#include "json_output.hpp"

namespace llama {

/// The figures of one recipe; what was not measured is NaN, or null in JSON.
struct RecipeFigures {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

  std::string recipe;
  Estimate perplexity{unknown, unknown}, kl{unknown, unknown}, top1{unknown, unknown};
  double weight_bits = unknown;
  double model_bytes = unknown;
  double peak_memory_bytes = unknown;
  double prefill_tokens_per_s = unknown;
  double decode_tokens_per_s = unknown;

  /// Bits and bytes of a model.
  void take_sizes(const Model& model) {
    weight_bits = model.bits_per_weight();
    model_bytes = static_cast<double>(model.size_bytes());
  }
};

/// {"model", "text", "rows": [...]}, the same for every command.
[[nodiscard]] inline Json to_json(const std::string& model, const std::string& text,
                                  const std::vector<RecipeFigures>& rows) {
  Json json = {{"model", model}, {"text", text}, {"rows", Json::array()}};
  const auto whole = [](double bytes) { return std::isnan(bytes) ? Json(nullptr) : Json(std::llround(bytes)); };
  for (const RecipeFigures& row : rows)
    json["rows"].push_back({{"recipe", row.recipe},
                            {"perplexity", row.perplexity.value},
                            {"kl", row.kl.value},
                            {"top1", row.top1.value},
                            {"weight_bits", row.weight_bits},
                            {"model_bytes", whole(row.model_bytes)},
                            {"peak_memory_bytes", whole(row.peak_memory_bytes)},
                            {"prefill_tokens_per_s", row.prefill_tokens_per_s},
                            {"decode_tokens_per_s", row.decode_tokens_per_s}});
  return json;
}

}  // namespace llama
