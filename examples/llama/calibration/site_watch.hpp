#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <planish/calibration/channel_mean.hpp>

#include "../recipe.hpp"
#include "../require.hpp"
#include "channel_figures.hpp"
#include "learned_block.hpp"

namespace llama {

/// Sees what the float block feeds its sites, window by window, and says what learning starts from.
class SiteWatch {
 public:
  SiteWatch(const Config& config, const Recipe& recipe, const planish::calibration::FlatQuant& method,
            const std::string& where)
      : where_(where) {
    for (SiteKind kind : site_kinds) {
      const index channels = channels_at(kind, config);
      Seen& seen = sites_.emplace_back(channels);
      seen.centred = method.centres && recipe.bits_at(kind).activation < 16;
      seen.largest.resize(static_cast<std::size_t>(channels));
      if (!seen.centred) continue;
      seen.lowest.assign(seen.largest.size(), HUGE_VALF);
      seen.largest.assign(seen.largest.size(), -HUGE_VALF);
    }
  }

  /// x: a window's tokens × channels. The first token is no part of the mean: every other one attends to it, and its
  /// activations are of another size.
  void see(SiteKind kind, MatrixView<const float> x) {
    Seen& seen = sites_[static_cast<std::size_t>(kind)];
    if (!seen.centred) return raise_to_column_magnitudes(x, seen.largest);
    for (index r = 0; r < x.rows(); ++r)
      for (std::size_t c = 0; c < seen.largest.size(); ++c) {
        seen.lowest[c] = std::min(seen.lowest[c], x.row(r)[c]);
        seen.largest[c] = std::max(seen.largest[c], x.row(r)[c]);
      }
    require(seen.mean.observe(x.rows() > 1 ? x.middle_rows(1, x.rows() - 1) : x),
            where_ + "." + std::string(to_string(kind)));
  }

  [[nodiscard]] SiteStart start() const {
    SiteStart made;
    for (std::size_t i = 0; i < sites_.size(); ++i) {
      const Seen& seen = sites_[i];
      made.magnitudes[i] = seen.largest;
      if (!seen.centred) continue;
      made.shifts[i] = seen.mean.mean();
      for (std::size_t c = 0; c < seen.largest.size(); ++c)
        made.magnitudes[i][c] = std::max(seen.largest[c] - made.shifts[i][c], made.shifts[i][c] - seen.lowest[c]);
    }
    return made;
  }

 private:
  struct Seen {
    explicit Seen(index channels) : mean(channels) {}
    bool centred = false;
    std::vector<float> largest, lowest;  // max |x|; of centred sites max x and min x
    planish::calibration::ChannelMean mean;
  };

  const std::string& where_;
  std::vector<Seen> sites_;  // by SiteKind
};

}  // namespace llama
