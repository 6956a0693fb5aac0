// How the float products cut their work: when activations are copied, in which order panels and runs of columns come.
#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/float_tiles.hpp>

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("activations are copied where their rows are not dense, or more than four fall into one cache set") {
  std::vector<float> memory(9 * 2048 + 5000), room(9 * 2064);
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<float>(i % 9973);
  for (const index rows : {1, 4, 5, 9})
    for (const index columns : {1, 7, 16, 500})
      for (const index row_stride : {512, 1000, 1008, 1023, 1024, 1025, 1040, 2048})
        for (const index column_stride : {1, 2}) {
          if (columns * column_stride > row_stride) continue;
          const pl::MatrixView<const float> x(memory.data(), rows, columns, row_stride, column_stride);
          std::fill(room.begin(), room.end(), -1.0f);
          const cpu::DenseRows dense = cpu::DenseRows::of(x, room);
          const bool copies = (columns > 1 && column_stride != 1) || (rows > 4 && row_stride % 1024 == 0);
          CHECK((dense.data == room.data()) == copies);
          CHECK(dense.stride == (copies ? cpu::copied_row_stride(columns) : row_stride));
          index wrong = 0;
          for (index r = 0; r < rows; ++r)
            for (index c = 0; c < columns; ++c) wrong += dense.data[r * dense.stride + c] != x(r, c);
          CHECK(wrong == 0);
          if (!copies) CHECK(std::all_of(room.begin(), room.end(), [](float value) { return value == -1.0f; }));
        }
}

struct Asked {
  index panel, first, count;

  friend bool operator==(const Asked&, const Asked&) = default;
};

TEST_CASE("panels come in batches of eight for every run of 512 columns, one by one for the rows of a single tile") {
  const index tile = cpu::most_float_rows;
  for (const index rows : {index{1}, tile, tile + 1, index{192}, index{193}})
    for (const index columns : {1, 512, 513, 1100})
      for (const pl::Range panels : {pl::Range{0, 1}, pl::Range{0, 8}, pl::Range{1, 12}}) {
        const index channels = 12 * 32 - 5;
        std::vector<float> x(static_cast<std::size_t>(rows * columns), 1.0f);
        std::vector<float> y(static_cast<std::size_t>(rows * channels), -1.0f);
        std::vector<std::byte> scratch(cpu::multiply_scratch_bytes(rows, columns, 1));
        std::vector<float> weights(512 * 32);
        for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i % 32 + 1);
        std::vector<Asked> asked, expected;
        cpu::multiply_float_panels({x.data(), rows, columns}, channels, {}, {y.data(), rows, channels}, panels, scratch,
                                   [&](index panel, index first, index count, float* /*room*/) {
                                     asked.push_back({panel, first, count});
                                     return static_cast<const float*>(weights.data());
                                   });
        const auto runs = [](index items, index most, auto&& body) { cpu::for_each_run(items, most, body); };
        runs(rows, 192, [&](pl::Range block) {
          const index together = block.end - block.begin <= tile ? 1 : 8;
          for (index first = panels.begin; first < panels.end; first += together)
            runs(columns, 512, [&](pl::Range run) {
              for (index panel = first; panel < std::min(first + together, panels.end); ++panel)
                expected.push_back({panel, run.begin, run.end - run.begin});
            });
        });
        CHECK((asked == expected));
        index wrong = 0;
        for (index r = 0; r < rows; ++r)
          for (index c = 0; c < channels; ++c) {
            const bool computed = c / 32 >= panels.begin && c / 32 < panels.end;
            const float sum = computed ? static_cast<float>(columns * (c % 32 + 1)) : -1.0f;
            wrong += y[static_cast<std::size_t>(r * channels + c)] != sum;
          }
        CHECK(wrong == 0);
      }
}

}  // namespace
