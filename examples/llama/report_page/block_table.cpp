#include "block_table.hpp"

#include <algorithm>
#include <cmath>

#include "../table.hpp"
#include "log_axis.hpp"

namespace llama::page {
namespace {

/// One row: what is empty is left empty.
struct Row {
  std::string name = {};
  const SiteProfile* site = nullptr;
  std::string clip_up = {}, clip_down = {};
  std::string weight_mean = {}, weight_least = {};
};

std::string clip_text(float factor) { return fixed(static_cast<double>(factor), 3); }

Row row_of(SiteKind kind, const BlockProfile& profile, const SiteBits& bits) {
  Row row{.name = std::string(to_string(kind)), .site = &profile.sites[static_cast<std::size_t>(kind)]};
  double sum = 0.0, rows = 0.0, least = 1.0;
  for (Projection p : projections) {
    if (site_of(p) != kind) continue;
    const MatrixClips& c = profile.clips[static_cast<std::size_t>(p)];
    sum += c.weight_mean * static_cast<double>(c.rows);
    rows += static_cast<double>(c.rows);
    least = std::min(least, c.weight_least);
    const std::string up = clip_text(c.activation.positive), down = clip_text(c.activation.negative);
    if (bits.activation == 16 || (row.clip_up.ends_with(up) && row.clip_down.ends_with(down))) continue;
    row.clip_up += (row.clip_up.empty() ? "" : ", ") + up;
    row.clip_down += (row.clip_down.empty() ? "" : ", ") + down;
  }
  if (bits.weight < 16 && rows > 0.0) {
    row.weight_mean = fixed(sum / rows, 3);
    row.weight_least = fixed(least, 3);
  }
  return row;
}

std::string greatest(const std::vector<float>& channels) {
  return fixed(static_cast<double>(*std::max_element(channels.begin(), channels.end())), 2);
}

std::string percent(double value) { return fixed(100.0 * value, 1); }

void draw_cells(Markup& page, const Row& row) {
  const auto cell = [&](const std::string& text) { page.element("td", {}, text); };
  if (row.site != nullptr) {
    cell(greatest(row.site->activations.before));
    cell(greatest(row.site->activations.after));
    cell(fixed(row.site->kurtosis_before, 1));
    cell(fixed(row.site->kurtosis_after, 1));
    const auto& errors = row.site->errors;
    cell(errors ? percent(errors->plain) : "");
    cell(errors && errors->hadamard ? percent(*errors->hadamard) : "");
    cell(errors ? percent(errors->learned) : "");
  } else {
    for (int empty = 0; empty < 7; ++empty) cell("");
  }
  for (const std::string* text : {&row.clip_up, &row.clip_down, &row.weight_mean, &row.weight_least}) cell(*text);
}

/// A unit and decimals in which the least loss has three digits, and all losses are aligned.
struct LossFormat {
  int exponent = 0, decimals = 2;

  explicit LossFormat(const CalibrationRecord& record) {
    double least = 0.0;
    for (const BlockRecord& block : record.blocks)
      for (const double loss : {block.report.comparable_before(), block.report.loss_after})
        if (loss > 0.0 && (least == 0.0 || loss < least)) least = loss;
    if (least == 0.0) return;
    const int magnitude = static_cast<int>(std::floor(std::log10(least)));
    if (magnitude < -3) exponent = magnitude;
    decimals = std::max(0, 2 - magnitude + exponent);
  }
  [[nodiscard]] std::string title() const { return exponent == 0 ? "loss" : "loss, in " + power_of_ten(exponent); }
  [[nodiscard]] std::string text(double loss) const { return fixed(loss / std::pow(10.0, exponent), decimals); }
};

void draw_head(Markup& page, const std::string& loss) {
  page.element("thead", {}, [&] {
    page.element("tr", {}, [&] {
      const auto over = [&](const char* columns, const std::string& title) {
        page.element("th", {{"scope", "colgroup"}, {"colspan", columns}}, title);
      };
      over("2", "");
      over("3", loss);
      over("2", "learning");
      over("2", "max |x|");
      over("2", "kurtosis");
      over("3", "output error, %");
      over("2", "input clip");
      over("2", "weight clip");
    });
    page.element("tr", {}, [&] {
      for (const char* title : {"block", "site", "before", "after", "ratio", "rate", "tries", "before", "after",
                                "before", "after", "plain", "Hadamard", "learned", "+", "−", "mean", "least"})
        page.element("th", {{"scope", "col"}}, title);
    });
  });
}

std::vector<Row> rows_of(const BlockProfile& profile, const Recipe& recipe) {
  std::vector<Row> rows;
  for (SiteKind kind : site_kinds) rows.push_back(row_of(kind, profile, recipe.bits_at(kind)));
  if (profile.keys)
    rows.push_back({.name = "keys",
                    .site = &*profile.keys,
                    .clip_up = clip_text(profile.key_clip.positive),
                    .clip_down = clip_text(profile.key_clip.negative)});
  if (recipe.value_bits < 16)
    rows.push_back({.name = "values",
                    .clip_up = clip_text(profile.value_clip.positive),
                    .clip_down = clip_text(profile.value_clip.negative)});
  return rows;
}

void draw_block(Markup& page, std::size_t number, const BlockRecord& block, const std::vector<Row>& rows,
                const LossFormat& loss) {
  const std::string span = std::to_string(rows.size());
  const auto whole = [&](const std::string& text) { page.element("td", {{"rowspan", span}}, text); };
  page.element("tbody", {}, [&] {
    for (std::size_t r = 0; r < rows.size(); ++r)
      page.element("tr", {}, [&] {
        if (r == 0) page.element("th", {{"scope", "rowgroup"}, {"rowspan", span}}, std::to_string(number));
        page.element("th", {{"scope", "row"}, {"class", "site"}}, rows[r].name);
        if (r == 0) {
          whole(loss.text(block.report.comparable_before()));
          whole(loss.text(block.report.loss_after));
          whole(fixed(block.improvement(), 3));
          whole(plain_tick(block.report.learning_rate));
          whole(std::to_string(block.report.attempts));
        }
        draw_cells(page, rows[r]);
      });
  });
}

}  // namespace

void draw_table(Markup& page, const CalibrationRecord& record) {
  const LossFormat loss(record);
  page.element("div", {{"class", "scroll"}, {"tabindex", "0"}}, [&] {
    page.element("table", {{"class", "blocks"}}, [&] {
      draw_head(page, loss.title());
      for (std::size_t i = 0; i < record.blocks.size(); ++i)
        draw_block(page, i, record.blocks[i], rows_of(record.blocks[i].profile, record.recipe), loss);
    });
  });
}

}  // namespace llama::page
