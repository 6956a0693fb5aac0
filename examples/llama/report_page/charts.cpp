#include "charts.hpp"

#include <algorithm>

#include "../table.hpp"
#include "chart_frame.hpp"
#include "line_chart.hpp"
#include "magnitudes.hpp"

namespace llama::page {
namespace {

constexpr std::size_t most_points = 320;  // of a line of steps: finer is not seen

/// Errors of one site, by block.
struct ErrorLines {
  std::string title;
  std::vector<double> plain, hadamard, learned;

  void add(const std::optional<SiteErrors>& errors) {
    plain.push_back(errors ? errors->plain : gap);
    hadamard.push_back(errors && errors->hadamard ? *errors->hadamard : gap);
    learned.push_back(errors ? errors->learned : gap);
  }
  [[nodiscard]] bool empty() const {
    return std::none_of(plain.begin(), plain.end(), [](double v) { return std::isfinite(v); });
  }
};

std::string mean_percent(const std::vector<double>& values) {
  double sum = 0.0, count = 0.0;
  for (const double v : values)
    if (v > 0.0) sum += std::log(v), count += 1.0;
  return count > 0.0 ? fixed(100.0 * std::exp(sum / count), 1) + "\u00a0%" : "none";
}

/// Neighbouring steps averaged until there are few enough.
std::vector<double> thinned(const std::vector<double>& values) {
  const std::size_t count = std::min(values.size(), most_points);
  std::vector<double> made(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t first = i * values.size() / count, end = (i + 1) * values.size() / count;
    for (std::size_t j = first; j < end; ++j) made[i] += values[j] / static_cast<double>(end - first);
  }
  return made;
}

void draw_steps(Markup& page, const CalibrationRecord& record) {
  std::vector<std::vector<double>> curves;
  std::size_t steps = 0;
  for (const BlockRecord& block : record.blocks) {
    std::vector<double> curve = block.report.step_losses;
    if (curve.empty() || !(curve.front() > 0.0)) continue;
    const double first = curve.front();
    for (double& loss : curve) loss /= first;
    steps = std::max(steps, curve.size());
    curves.push_back(thinned(curve));
  }
  if (curves.empty()) return;
  LineChart chart{.description = "Loss of every step over the loss of the first, one line per block and their median",
                  .x_title = steps > most_points ? "share of the steps" : "step",
                  .label_room = 54};
  const std::size_t count = curves.front().size();
  Line middle{.label = "median", .style = "after", .values = std::vector<double>(count)};
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<double> at;
    for (const auto& curve : curves)
      if (i < curve.size()) at.push_back(curve[i]);
    std::nth_element(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(at.size() / 2), at.end());
    middle.values[i] = at[at.size() / 2];
  }
  for (auto& curve : curves) chart.lines.push_back({.label = "", .style = "faint", .values = std::move(curve)});
  chart.lines.push_back(std::move(middle));
  if (steps > most_points) chart.x_title = "step / " + significant(static_cast<double>(steps) / most_points, 3);
  page.element("figure", {}, [&] {
    chart.draw(page);
    page.element("figcaption", {},
                 "Loss of every step over the loss of the first: one thin line per block, the median of all blocks in "
                 "bold. Steps of one epoch meet different windows, whose losses differ.");
  });
}

void draw_before_and_after(Markup& page, const CalibrationRecord& record) {
  std::vector<double> before, after;
  bool rescaled = false;
  for (const BlockRecord& block : record.blocks) {
    rescaled |= block.report.comparable_before() != block.report.loss_before;
    before.push_back(block.report.comparable_before());
    after.push_back(block.report.loss_after);
  }
  double least = 0.0, greatest = 0.0;
  widen(least, greatest, before);
  widen(least, greatest, after);
  const ChartFrame frame{.width = 360,
                         .height = 220,
                         .left = 48,
                         .right = 306,
                         .top = 10,
                         .bottom = 182,
                         .last_x = static_cast<long long>(before.size()) - 1};
  const LogAxis axis(least, greatest, frame.bottom, frame.top);
  page.element("figure", {}, [&] {
    frame.draw(page, "Loss of every block before and after learning", "block", axis, plain_tick, [&] {
      for (std::size_t i = 0; i < before.size(); ++i) {
        const double x = frame.x(static_cast<double>(i));
        draw_line(page, x, axis.at(before[i]), x, axis.at(after[i]), "stem");
        for (const bool is_after : {false, true})
          page.leaf("circle", {{"class", is_after ? "dot after" : "dot before"},
                               {"cx", coordinate(x)},
                               {"cy", coordinate(axis.at((is_after ? after : before)[i]))},
                               {"r", "2.6"}});
      }
      draw_text(page, frame.right + 8, axis.at(before.back()) + 4, "label before", "before");
      draw_text(page, frame.right + 8, std::max(axis.at(after.back()), axis.at(before.back()) + 13) + 4, "label after",
                "after");
    });
    page.element("figcaption", {},
                 std::string("Mean loss over all windows of every block, before the first step and after the last.") +
                     (rescaled ? " Weights learned from other inputs than transforms did: losses before are given for "
                                 "the inputs after, by how far the change of inputs moved the loss."
                               : ""));
  });
}

}  // namespace

void draw_errors(Markup& page, const CalibrationRecord& record) {
  std::vector<ErrorLines> sites;
  for (SiteKind kind : site_kinds) {
    ErrorLines lines{title_of(kind), {}, {}, {}};
    for (const BlockRecord& block : record.blocks)
      lines.add(block.profile.sites[static_cast<std::size_t>(kind)].errors);
    sites.push_back(std::move(lines));
  }
  ErrorLines keys{"Keys in the cache", {}, {}, {}};
  for (const BlockRecord& block : record.blocks)
    keys.add(block.profile.keys ? block.profile.keys->errors : std::nullopt);
  sites.push_back(std::move(keys));

  double least = 0.0, greatest = 0.0;
  for (const ErrorLines& lines : sites)
    for (const auto* values : {&lines.plain, &lines.hadamard, &lines.learned}) widen(least, greatest, *values);
  page.element("div", {{"class", "charts"}}, [&] {
    for (const ErrorLines& lines : sites) {
      if (lines.empty()) continue;
      LineChart chart{
          .description = lines.title + ": relative output error over blocks, without transform, with Hadamard, learned",
          .x_title = "block",
          .lines = {{.label = "plain", .style = "before", .values = lines.plain, .has_points = true},
                    {.label = "Hadamard", .style = "middle", .values = lines.hadamard, .has_points = true},
                    {.label = "learned", .style = "after", .values = lines.learned, .has_points = true}},
          .least = least,
          .greatest = greatest,
          .tick = percent_tick};
      page.element("figure", {}, [&] {
        page.element("figcaption", {}, [&] {
          page.element("strong", {}, lines.title);
          page.element("span", {{"class", "means"}},
                       "plain " + mean_percent(lines.plain) + ", Hadamard " + mean_percent(lines.hadamard) +
                           ", learned " + mean_percent(lines.learned));
        });
        chart.draw(page);
      });
    }
  });
}

void draw_losses(Markup& page, const CalibrationRecord& record) {
  page.element("div", {{"class", "charts"}}, [&] {
    draw_before_and_after(page, record);
    draw_steps(page, record);
  });
}

}  // namespace llama::page
