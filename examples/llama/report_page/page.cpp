#include "page.hpp"

#include <filesystem>

#include "../table.hpp"
#include "block_table.hpp"
#include "charts.hpp"
#include "magnitudes.hpp"
#include "markup.hpp"
#include "recipe_words.hpp"
#include "style.hpp"

namespace llama {
namespace {

using page::Markup;

void draw_tiles(Markup& page, const CalibrationRecord& record) {
  const auto tile = [&](const std::string& title, const std::string& value, const std::string& unit) {
    page.element("div", {}, [&] {
      page.element("dt", {}, title);
      page.element("dd", {}, [&] {
        page.text(value);
        if (!unit.empty()) page.element("small", {}, " " + unit);
      });
    });
  };
  page.element("dl", {{"class", "tiles"}}, [&] {
    tile("blocks", std::to_string(record.blocks.size()), "");
    tile("loss after / before, geometric mean over blocks", fixed(record.improvement(), 3), "");
    tile("size of the artefact", mebibytes(record.file_bytes), "MiB");
    tile("per weight of the blocks, with its scales", fixed(record.weight_bits, 2), "bits");
    tile("weights, activations, keys, values",
         std::to_string(record.recipe.weight_bits) + " · " + std::to_string(record.recipe.activation_bits) + " · " +
             std::to_string(record.recipe.key_bits) + " · " + std::to_string(record.recipe.value_bits),
         "bits");
  });
}

void draw_header(Markup& page, const CalibrationRecord& record) {
  page.element("header", {}, [&] {
    page.element("p", {{"class", "kind"}}, "Calibration report");
    page.element("h1", {}, record.model.empty() ? "A calibrated model" : record.model);
    std::string how = bits_in_words(record.recipe);
    if (const std::string learned = record.word("learned"), samples = record.word("samples"); !samples.empty())
      how += " " + record.word("method") + " learned " + learned + " from " + samples + " in " + record.word("epochs") +
             " epochs.";
    page.element("p", {}, how);
    draw_tiles(page, record);
    page.element("dl", {{"class", "words"}}, [&] {
      const auto word = [&](const std::string& what, const std::string& is) {
        page.element("div", {}, [&] {
          page.element("dt", {}, what);
          page.element("dd", {}, is);
        });
      };
      word("recipe", to_string(record.recipe));
      for (const auto& [what, is] : record.method) word(what, is);
    });
    page.element("nav", {{"aria-label", "Contents"}}, [&] {
      for (const auto& [id, title] :
           {std::pair{"#flattening", "Flattening"}, std::pair{"#errors", "Errors"}, std::pair{"#losses", "Losses"},
            std::pair{"#blocks", "Blocks"}, std::pair{"#channels", "Channels"}})
        page.element("a", {{"href", id}}, title);
    });
  });
}

template <class Draw>
void draw_section(Markup& page, const char* id, const std::string& title, const std::string& text, Draw&& draw) {
  page.element("section", {{"id", id}}, [&] {
    page.element("h2", {}, title);
    page.element("p", {}, text);
    draw();
  });
}

void draw_sections(Markup& page, const CalibrationRecord& record) {
  const std::string tokens = std::to_string(record.blocks.front().profile.tokens);
  draw_section(page, "flattening", "How flat each site became",
               "Greatest magnitude of every channel over its tensor's median channel, sorted from the greatest to the "
               "least: a flat tensor lies on 1. Thin: as the float model has it, its distance from flat shaded. Bold: "
               "after the learned transform, of weights after its dual. The numbers are the greatest channel before → "
               "after. Activations of " +
                   tokens + " calibration tokens; the blocks of a site share their axis.",
               [&] { page::draw_magnitudes(page, record); });
  draw_section(page, "errors", "What quantization costs each site",
               "Relative error ‖ŷ − y‖ / ‖y‖ of the outputs of all matrices that read a site, on the float model's "
               "inputs and at the same bits, weights rounded to nearest: plain (no transform, whole ranges), with a "
               "Hadamard transform, and with the learned transform and clips. Below each title: geometric means over "
               "blocks. Keys: error of what the cache gives back.",
               [&] { page::draw_errors(page, record); });
  draw_section(page, "losses", "How the blocks learned",
               "Loss: " + record.word("loss") + "; objective: " + record.word("objective") + ".",
               [&] { page::draw_losses(page, record); });
  draw_section(page, "blocks", "Block by block",
               "Kurtosis is the mean over tokens of each token's own (normal: 3). Input clips are factors on both ends "
               "of a token's range; weight clips the share of a row's greatest magnitude that is left. Output errors "
               "of keys are those of the cached keys.",
               [&] { page::draw_table(page, record); });
  draw_section(page, "channels", "Channel by channel",
               "Every channel in its place, over the median channel; where channels outnumber the width, the greatest "
               "of those that share it. Beside each block: the greatest channel of its activations over the median, "
               "before → after. Blocks that are open are printed.",
               [&] { page::draw_channels(page, record); });
}

}  // namespace

std::string report_page(const CalibrationRecord& record) {
  Markup page;
  page.raw("<!DOCTYPE html>\n");
  page.element("html", {{"lang", "en"}}, [&] {
    page.element("head", {}, [&] {
      page.leaf("meta", {{"charset", "utf-8"}});
      page.leaf("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}});
      page.element("title", {}, "Calibration of " + record.model + ", " + to_string(record.recipe));
      page.element("style", {}, [&] { page.raw(page::style); });
    });
    page.element("body", {}, [&] {
      draw_header(page, record);
      page.element("main", {}, [&] { draw_sections(page, record); });
      page.element("footer", {}, [&] {
        page.element("p", {}, std::filesystem::path(record.path).filename().string() + ": " + record.job);
      });
    });
  });
  page.raw("\n");
  return page.str();
}

}  // namespace llama
