#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <planish/calibration/optimizer/learn.hpp>

#include "site_profile.hpp"

namespace llama {

/// How a block learned and what came of it, as the tensors `layers.i.calibration.WHAT` of any file that holds floats:
/// `step_losses`; `summary` (losses before and after, rate, attempts); `tokens`; for every site S in attn, o, mlp,
/// down, and for `keys`: `S.channels` (max |x| before and after; of sites also max |w| before and after; × channels),
/// `S.kurtosis` (before, after), `S.errors` (plain, learned, and where there is one hadamard); `clips` (matrices ×
/// rows, mean and least of what weight clips leave, activation pair); `cache_clips` (pairs of keys, of values).
using AddFloats =
    std::function<void(const std::string& name, const std::vector<index>& shape, const std::vector<float>& values)>;

/// The values of a tensor; nothing where it is missing.
using FindFloats = std::function<std::optional<std::vector<float>>(const std::string& name)>;

void add_learn_report(const AddFloats& add, index layer, const planish::calibration::LearnReport& report);
void add_profile(const AddFloats& add, index layer, const BlockProfile& profile);

/// What add_learn_report added; nothing where the layer has no report. Throws Error, naming `path`, the tensor and its
/// size.
[[nodiscard]] std::optional<planish::calibration::LearnReport> read_learn_report(const FindFloats& find, index layer,
                                                                                 const std::string& path);

/// What add_profile added; nothing where the layer has none. Throws Error in the same way, also if only a part is
/// there.
[[nodiscard]] std::optional<BlockProfile> read_profile(const FindFloats& find, index layer, const std::string& path);

}  // namespace llama
