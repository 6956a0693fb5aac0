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

void draw_row(Markup& page, const Row& row) {
  page.element("th", {{"scope", "row"}}, row.name);
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

void draw_head(Markup& page, int exponent) {
  const std::string loss = "loss × " + power_of_ten(exponent);
  page.element("thead", {}, [&] {
    page.element("tr", {}, [&] {
      const auto over = [&](const char* columns, const std::string& title) {
        page.element("th", {{"scope", "colgroup"}, {"colspan", columns}}, title);
      };
      over("1", "");
      over("3", loss);
      over("2", "learning");
      over("1", "");
      over("2", "max |x|");
      over("2", "kurtosis");
      over("3", "output error, %");
      over("2", "input clip");
      over("2", "weight clip");
    });
    page.element("tr", {}, [&] {
      for (const char* title : {"block", "before", "after", "ratio", "rate", "tries", "site", "before", "after",
                                "before", "after", "plain", "Hadamard", "learned", "+", "−", "mean", "least"})
        page.element("th", {{"scope", "col"}}, title);
    });
  });
}

}  // namespace

void draw_table(Markup& page, const CalibrationRecord& record) {
  double most = 0.0;
  for (const BlockRecord& block : record.blocks) most = std::max(most, block.report.loss_before);
  const int exponent = most > 0.0 ? static_cast<int>(std::floor(std::log10(most))) - 2 : 0;
  const double unit = std::pow(10.0, exponent);
  page.element("div", {{"class", "scroll"}, {"tabindex", "0"}}, [&] {
    page.element("table", {{"class", "blocks"}}, [&] {
      draw_head(page, exponent);
      for (std::size_t i = 0; i < record.blocks.size(); ++i) {
        const BlockRecord& block = record.blocks[i];
        std::vector<Row> rows;
        for (SiteKind kind : site_kinds) rows.push_back(row_of(kind, block.profile, record.recipe.bits_at(kind)));
        if (block.profile.keys)
          rows.push_back({.name = "keys",
                          .site = &*block.profile.keys,
                          .clip_up = clip_text(block.profile.key_clip.positive),
                          .clip_down = clip_text(block.profile.key_clip.negative)});
        if (record.recipe.value_bits < 16)
          rows.push_back({.name = "values",
                          .clip_up = clip_text(block.profile.value_clip.positive),
                          .clip_down = clip_text(block.profile.value_clip.negative)});
        page.element("tbody", {}, [&] {
          for (std::size_t r = 0; r < rows.size(); ++r)
            page.element("tr", {}, [&] {
              const auto whole = [&](const std::string& text) {
                page.element("td", {{"rowspan", std::to_string(rows.size())}}, text);
              };
              if (r == 0) {
                page.element("th", {{"scope", "rowgroup"}, {"rowspan", std::to_string(rows.size())}},
                             std::to_string(i));
                whole(fixed(block.report.loss_before / unit, 2));
                whole(fixed(block.report.loss_after / unit, 2));
                whole(fixed(block.improvement(), 3));
                whole(significant(block.report.learning_rate, 3));
                whole(std::to_string(block.report.attempts));
              }
              draw_row(page, rows[r]);
            });
        });
      }
    });
  });
}

}  // namespace llama::page
