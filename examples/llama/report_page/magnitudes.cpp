#include "magnitudes.hpp"

#include <algorithm>
#include <cmath>

#include "../table.hpp"
#include "chart_frame.hpp"
#include "line_chart.hpp"

namespace llama::page {
namespace {

constexpr double least_shown = 0.2;  // of the median: below lie channels that hardly matter

double median(std::vector<float> values) {
  if (values.empty()) return 0.0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return static_cast<double>(*middle);
}

std::vector<double> over_median(const std::vector<float>& channels) {
  const double by = median(channels);
  std::vector<double> made;
  for (const float c : channels) made.push_back(by > 0.0 ? static_cast<double>(c) / by : 1.0);
  return made;
}

/// One tensor of all blocks: the activations or the weights of a site, or keys.
struct Group {
  std::string title, what;
  std::vector<const Flattening*> blocks = {};  // by block
  bool is_keys = false;

  [[nodiscard]] LogAxis axis(double from, double to) const {
    double greatest = 1.0;
    for (const Flattening* f : blocks) greatest = std::max({greatest, peak(f->before), peak(f->after)});
    return LogAxis::exact(least_shown, 1.15 * greatest, from, to);
  }
  [[nodiscard]] std::size_t channels() const { return blocks.front()->before.size(); }
};

std::vector<Group> groups_of(const CalibrationRecord& record) {
  std::vector<Group> groups;
  for (SiteKind kind : site_kinds) {
    Group activations{title_of(kind), "activations", {}}, weights{title_of(kind), "weights", {}};
    for (const BlockRecord& block : record.blocks) {
      const SiteProfile& site = block.profile.sites[static_cast<std::size_t>(kind)];
      activations.blocks.push_back(&site.activations);
      weights.blocks.push_back(&site.weights);
    }
    groups.push_back(std::move(activations));
    groups.push_back(std::move(weights));
  }
  Group keys{"Keys after RoPE", "keys", {}, true};
  for (const BlockRecord& block : record.blocks)
    if (block.profile.keys) keys.blocks.push_back(&block.profile.keys->activations);
  if (keys.blocks.size() == record.blocks.size()) groups.push_back(std::move(keys));
  return groups;
}

/// Points of a line through values spread over [left, right]: relative steps, one per two units, all of a steep start.
std::string sorted_path(std::vector<double> values, double left, double right, const LogAxis& axis) {
  std::sort(values.begin(), values.end(), std::greater<>());
  const auto last = static_cast<double>(std::max<std::size_t>(values.size() - 1, 1));
  double drawn_x = left, drawn_y = std::round(axis.at(values.front()) * 10.0) / 10.0;
  std::string path = 'M' + coordinate(drawn_x) + ' ' + coordinate(drawn_y) + 'l';
  for (std::size_t i = 1; i < values.size(); ++i) {
    const double x = std::round((left + (right - left) * static_cast<double>(i) / last) * 10.0) / 10.0;
    const double y = std::round(axis.at(values[i]) * 10.0) / 10.0;
    if (i + 1 < values.size() && x - drawn_x < 2.0 && std::fabs(y - drawn_y) < 1.5) continue;
    if (path.back() != 'l') path += ' ';
    path += coordinate(x - drawn_x) + ' ' + coordinate(y - drawn_y);
    drawn_x = x;
    drawn_y = y;
  }
  return values.size() == 1 ? path + coordinate(right - left) + " 0" : path;
}

/// Bars from zero up, the greatest of the channels that share a unit of width; `scale`: height of 1.
std::string bars_path(const std::vector<double>& values, double left, double right, double base, double scale) {
  const auto bars = std::min<std::size_t>(values.size(), static_cast<std::size_t>(right - left));
  const double width = (right - left) / static_cast<double>(bars);
  double drawn_x = left, drawn_y = base;
  std::string path = 'M' + coordinate(left) + ' ' + coordinate(base);
  for (std::size_t b = 0; b < bars; ++b) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(b * values.size() / bars);
    const auto end = values.begin() + static_cast<std::ptrdiff_t>((b + 1) * values.size() / bars);
    const double y = std::round(2.0 * (base - scale * *std::max_element(first, end))) / 2.0;
    const double x = std::round((left + width * static_cast<double>(b + 1)) * 10.0) / 10.0;
    if (y != drawn_y) path += 'v' + coordinate(y - drawn_y);
    path += 'h' + coordinate(x - drawn_x);
    drawn_x = x;
    drawn_y = y;
  }
  return path + 'V' + coordinate(base) + 'z';
}

void draw_tick(Markup& page, double y, double left, double right, double value) {
  draw_line(page, left, y, right, y, std::fabs(value - 1.0) < 1e-9 ? "grid one" : "grid");
  draw_text(page, left - 3, y + 3, "tick end", plain_tick(value));
}

void draw_panel(Markup& page, const Group& group, std::size_t block) {
  constexpr double width = 150, height = 96, left = 24, right = 148, top = 20, bottom = 92;
  const Flattening& is = *group.blocks[block];
  const LogAxis axis = group.axis(bottom, top);
  const std::string before = significant(peak(is.before), 2), after = significant(peak(is.after), 2);
  const std::string name = "Block " + std::to_string(block);
  draw_picture(
      page, width, height,
      name + ", " + group.title + ", " + group.what + ": the greatest channel is " + before +
          " times the median before flattening, " + after + " times after",
      [&] {
        for (const double tick : axis.ticks()) draw_tick(page, axis.at(tick), left, right, tick);
        const std::string line = sorted_path(over_median(is.before), left, right, axis);
        const std::string fill = line + 'V' + coordinate(axis.at(1.0)) + 'H' + coordinate(left) + 'z';
        page.leaf("path", {{"class", "fill before"}, {"d", fill}});
        page.leaf("path", {{"class", "line before"}, {"d", line}});
        page.leaf("path", {{"class", "line after"}, {"d", sorted_path(over_median(is.after), left, right, axis)}});
        draw_text(page, left, 12, "tick", name);
        page.element("text", {{"x", coordinate(right)}, {"y", "12"}, {"class", "label end"}}, [&] {
          page.element("tspan", {{"class", "before"}}, before);
          page.element("tspan", {{"class", "tick"}}, " → ");
          page.element("tspan", {{"class", "after"}}, after);
        });
      });
}

void draw_channel_panel(Markup& page, const Group& group, std::size_t block, bool is_after) {
  constexpr double width = 300, height = 92, left = 28, right = 298, top = 18, bottom = 78;
  const Flattening& is = *group.blocks[block];
  const std::vector<float>& channels = is_after ? is.after : is.before;
  const double most = std::max({1.0, peak(is.before), peak(is.after)}), scale = (bottom - top) / most;
  const std::string greatest = significant(static_cast<double>(*std::max_element(channels.begin(), channels.end())), 3);
  const std::string state = is_after ? "after" : "before";
  const std::string title = group.title + (group.is_keys ? "" : ", " + group.what);
  draw_picture(page, width, height,
               "Block " + std::to_string(block) + ", " + title + ", channel by channel " + state +
                   " flattening: greatest magnitude " + greatest,
               [&] {
                 for (const double tick : linear_ticks(most, 3))
                   draw_tick(page, bottom - scale * tick, left, right, tick);
                 page.leaf("path", {{"class", "bars " + state},
                                    {"d", bars_path(over_median(channels), left, right, bottom, scale)}});
                 draw_text(page, left, 11, "tick", title);
                 draw_text(page, right, 11, "label end " + state, state + ", max " + greatest);
                 draw_text(page, left, bottom + 12, "tick", "0");
                 draw_text(page, right, bottom + 12, "tick end", std::to_string(channels.size() - 1));
               });
}

/// "q 0.912 / 0.905" for every matrix, in a table.
void draw_clips(Markup& page, const BlockProfile& profile) {
  page.element("div", {{"class", "scroll"}, {"tabindex", "0"}}, [&] {
    page.element("table", {{"class", "small"}}, [&] {
      page.element("thead", {}, [&] {
        page.element("tr", {}, [&] {
          page.element("th", {{"scope", "col"}}, "matrix");
          for (const char* title : {"rows", "weight clip, mean", "weight clip, least", "input clip +", "input clip −"})
            page.element("th", {{"scope", "col"}}, title);
        });
      });
      page.element("tbody", {}, [&] {
        for (Projection p : projections) {
          const MatrixClips& c = profile.clips[static_cast<std::size_t>(p)];
          page.element("tr", {}, [&] {
            page.element("th", {{"scope", "row"}}, name_of(p));
            page.element("td", {}, std::to_string(c.rows));
            for (const double value : {c.weight_mean, c.weight_least, static_cast<double>(c.activation.positive),
                                       static_cast<double>(c.activation.negative)})
              page.element("td", {}, fixed(value, 3));
          });
        }
      });
    });
  });
}

/// How far the greatest channel of every site stood out before and after.
std::string summary_of(const BlockProfile& profile) {
  std::string text;
  for (SiteKind kind : site_kinds) {
    const Flattening& is = profile.sites[static_cast<std::size_t>(kind)].activations;
    text += (text.empty() ? " " : " · ") + std::string(to_string(kind)) + ' ' + significant(peak(is.before), 2) +
            " → " + significant(peak(is.after), 2);
  }
  return text;
}

}  // namespace

std::string title_of(SiteKind kind) {
  switch (kind) {
    case SiteKind::attention:
      return "Input of q, k, v";
    case SiteKind::output:
      return "Input of o";
    case SiteKind::mlp:
      return "Input of gate, up";
    case SiteKind::down:
      return "Input of down";
  }
  return "";
}

double peak(const std::vector<float>& channels) {
  const double by = median(channels);
  return by > 0.0 ? static_cast<double>(*std::max_element(channels.begin(), channels.end())) / by : 1.0;
}

void draw_magnitudes(Markup& page, const CalibrationRecord& record) {
  for (const Group& group : groups_of(record)) {
    page.element("figure", {{"class", "group"}}, [&] {
      page.element("figcaption", {}, [&] {
        page.element("strong", {}, group.title + (group.is_keys ? "" : ": " + group.what));
        page.text(" " + std::to_string(group.channels()) + (group.is_keys ? " channels of a head" : " channels"));
      });
      page.element("div", {{"class", "panels"}}, [&] {
        for (std::size_t block = 0; block < group.blocks.size(); ++block) draw_panel(page, group, block);
      });
    });
  }
}

void draw_channels(Markup& page, const CalibrationRecord& record) {
  const std::vector<Group> groups = groups_of(record);
  for (std::size_t block = 0; block < record.blocks.size(); ++block) {
    const BlockRecord& is = record.blocks[block];
    page.element("details", {{"id", "block-" + std::to_string(block)}}, [&] {
      page.element("summary", {}, [&] {
        page.text("Block " + std::to_string(block));
        page.element("span", {{"class", "note"}}, summary_of(is.profile));
      });
      page.element("div", {{"class", "channels"}}, [&] {
        for (const Group& group : groups)
          for (const bool is_after : {false, true}) draw_channel_panel(page, group, block, is_after);
      });
      draw_clips(page, is.profile);
    });
  }
}

}  // namespace llama::page
