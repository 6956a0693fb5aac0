#pragma once
// Rows that met a prologue, by the reference: for the tests on an emulator and for the checks on a device.
#include <planish/kernels/cuda/row_prologue.cuh>
#include <planish/kernels/reference/norm_rows.hpp>
#include <planish/kernels/reference/swiglu_rows.hpp>

#include "row_oracles.hpp"

namespace oracles {

/// What a prologue reads, and what it makes of it in float32.
struct Produced {
  cuda::Prologue prologue;
  Input x, up;
  std::vector<float> gain_room;  // from a multiple of 16 bytes on
  std::vector<float> values;
  std::vector<float> offset, scale;  // of every column, or empty
  bool with_gain;
  static constexpr float epsilon = 1e-5f;

  /// `bad`: some rows hold NaN or infinity, zeros, or numbers that almost vanish. `maps`: columns lose an offset and
  /// are scaled behind it.
  Produced(cuda::Prologue p, index rows, index n, cuda::ElementType type, bool gained, bool bad, pl::Random& random,
           bool maps = false)
      : prologue(p),
        x(bad ? awkward(rows, n, random) : samples::floats(rows * n, random, 3.0), type),
        up(samples::floats(rows * n, random), type),
        gain_room(samples::floats(n + 4, random)),
        values(static_cast<std::size_t>(rows * n)),
        with_gain(gained) {
    const std::vector<float> ones(static_cast<std::size_t>(n), 1.0f);
    if (prologue == cuda::Prologue::none)
      values = x.values;
    else if (prologue == cuda::Prologue::swiglu)
      pl::kernels::reference::swiglu_rows({x.values.data(), rows, n}, {up.values.data(), rows, n},
                                          {values.data(), rows, n});
    else
      pl::kernels::reference::rms_norm_rows({x.values.data(), rows, n}, with_gain ? gain() : ones.data(), epsilon,
                                            {values.data(), rows, n});
    if (!maps) return;
    offset = samples::floats(n, random);
    scale = samples::floats(n, random);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t column = i % offset.size();
      values[i] = (values[i] - offset[column]) * scale[column];
    }
  }
  [[nodiscard]] const float* gain() const {
    return gain_room.data() + (16 - reinterpret_cast<std::uintptr_t>(gain_room.data()) % 16) % 16 / 4;
  }
  /// Of host memory; rows lie without gaps.
  [[nodiscard]] cuda::PrologueArguments arguments() const {
    const auto n = static_cast<std::int64_t>(gain_room.size()) - 4;
    cuda::PrologueArguments all;
    if (prologue == cuda::Prologue::swiglu) all = {.up = up.data(), .up_stride = n};
    if (prologue == cuda::Prologue::rms_norm) all = {.gain = with_gain ? gain() : nullptr, .epsilon = epsilon};
    if (!offset.empty()) all.offset = offset.data();
    if (!scale.empty()) all.scale = scale.data();
    return all;
  }
};

}  // namespace oracles
