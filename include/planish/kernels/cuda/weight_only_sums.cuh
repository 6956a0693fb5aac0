#pragma once
// What a warpgroup of the weight-only pipeline does between the arrival of a stage and its outputs: codes to 16-bit
// floats, products, and the scales of groups.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/multiply_pipeline.cuh>
#include <planish/kernels/cuda/weight_only_pipeline_output.cuh>
#include <planish/kernels/cuda/weight_units.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The weights of some steps of 16 columns in registers, and their products.
template <class Tile>
struct PipelineProducts {
  static constexpr int halves = Tile::halves, count = Tile::registers;
  using Sums = float[halves][count];
  using Zeros = std::uint32_t[halves][2];  // of a thread's two channels of every 128, as pairs

  /// Starts the products of half `half` of a stage: 32 columns. `add`: to what the sums are.
  PLANISH_DEVICE static void start_half(Sums& sums, const Zeros& zeros, const unsigned char* stage, int half,
                                        bool add) noexcept {
    std::uint32_t fragments[halves][2][4];
    expand(fragments, zeros, stage, half);
    begin_products();
    start(sums, fragments, stage, half, add);
    commit_products();
  }
  /// The same of a whole stage.
  PLANISH_DEVICE static void start_stage(Sums& sums, const Zeros& zeros, const unsigned char* stage,
                                         bool add) noexcept {
    std::uint32_t fragments[2][halves][2][4];
    expand(fragments[0], zeros, stage, 0);
    expand(fragments[1], zeros, stage, 1);
    begin_products();
    start(sums, fragments[0], stage, 0, add);
    start(sums, fragments[1], stage, 1, true);
    commit_products();
  }

  PLANISH_DEVICE static void expand(std::uint32_t (&fragments)[halves][2][4], const Zeros& zeros,
                                    const unsigned char* stage, int half) noexcept {
    const int thread = thread_index(), lane = thread % warp_size;
    const unsigned char* const weights = stage + Tile::token_bytes + (thread / group_size - 1) * Tile::unit_bytes;
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) {
      const auto packed = LaneWords<Tile::stored_bits>::load(weights + 2 * j * Tile::unit_bytes, half,
                                                             lane_tile(thread / warp_size, lane));
      expand_fragment<typename Tile::E, 0>(packed, zeros[j], fragments[j][0]);
      expand_fragment<typename Tile::E, 1>(packed, zeros[j], fragments[j][1]);
    }
  }
  PLANISH_DEVICE static void start(Sums& sums, const std::uint32_t (&fragments)[halves][2][4],
                                   const unsigned char* stage, int half, bool add) noexcept {
    PLANISH_UNROLL
    for (int s = 0; s < 2; ++s) PLANISH_UNROLL
    for (int j = 0; j < halves; ++j)
      multiply_group(typename Tile::E{}, sums[j], fragments[j][s], stage, 64 * half + 32 * s, add || s > 0);
  }
};

/// Hands stages back once their products are done.
template <class Tile>
struct StageReleaser {
  typename Tile::Ends& ends;
  int before = -1;

  /// All products but those of `stage` are done.
  PLANISH_DEVICE void begin(int stage) noexcept {
    end();
    before = stage;
  }
  PLANISH_DEVICE void end() noexcept {
    if (before >= 0) release_stage<Tile>(ends, before);
    before = -1;
  }
};

template <class Tile>
struct PipelineSums;

/// With one scale per channel.
template <class Tile>
requires(!Tile::grouped) struct PipelineSums<Tile> {
  using Products = PipelineProducts<Tile>;
  static constexpr bool by_halves = Tile::halves * Tile::tokens > 128 && Tile::halves > 1;  // registers of fragments
  const StartedRing<Tile>& started;
  StageReleaser<Tile> releaser;
  typename Products::Zeros zeros;
  typename Products::Sums sums;

  PLANISH_DEVICE PipelineSums(const WeightOnlyArguments& a, const StartedRing<Tile>& ring, int first_unit) noexcept
      : started(ring), releaser{ring.ends} {
    PLANISH_UNROLL
    for (int j = 0; j < Tile::halves; ++j) PLANISH_UNROLL
    for (int h = 0; h < 2; ++h) {
      zeros[j][h] = (1u << (Tile::stored_bits - 1)) * 0x10001u;
      const int unit = first_unit + 2 * j;
      if (a.w.zeros != nullptr && unit < a.w.channel_units())
        zeros[j][h] = a.w.zeros[unit * unit_channels + own_channel() + h] * 0x10001u;
    }
  }
  PLANISH_DEVICE void multiply(int begin, int end, RingPlace<Tile>& place) noexcept {
    int left = end - begin;  // at least one
    PLANISH_NO_UNROLL
    for (bool first = true;; first = false) {  // two sets of fragments: one is read while the other is written
      step(place, first);
      if (--left == 0) break;
      if constexpr (!by_halves) {
        step(place, false);
        if (--left == 0) break;
      }
    }
  }
  PLANISH_DEVICE typename Products::Sums& end() noexcept {
    wait_products<0>();
    PLANISH_UNROLL
    for (int j = 0; j < Tile::halves; ++j) settle(sums[j]);
    releaser.end();
    return sums;
  }

 private:
  PLANISH_DEVICE void step(RingPlace<Tile>& place, bool first) noexcept {
    wait_phase(&started.ends.full[place.stage], place.parity);
    const unsigned char* const stage = started.ring + place.stage * Tile::stage_bytes;
    if constexpr (by_halves)
      Products::start_half(sums, zeros, stage, 0, !first);
    else
      Products::start_stage(sums, zeros, stage, !first);
    wait_products<1>();
    releaser.begin(place.stage);
    if constexpr (by_halves) {
      Products::start_half(sums, zeros, stage, 1, true);
      wait_products<1>();
    }
    place.next();
  }
};

/// Scales and zero points of a thread's two channels of every 128, group after group.
template <class Tile>
struct GroupWalk {
  static constexpr int halves = Tile::halves;
  const FloatWeightsView& w;
  int groups_behind;
  std::int64_t place[halves];  // of side data, in the group whose zero points came last
  std::uint32_t next_zeros[halves];
  float scales[halves][2];
  std::uint32_t zeros[halves][2];  // as pairs

  /// `first`: unit; where one does not exist the first stands in, whose outputs nobody stores.
  PLANISH_DEVICE GroupWalk(const FloatWeightsView& of, int first, int group) noexcept
      : w(of), groups_behind(of.groups() - 1 - group) {
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) {
      const int unit = first + 2 * j < w.channel_units() ? first + 2 * j : 0;
      place[j] = (std::int64_t{unit} * w.groups() + group) * unit_channels + own_channel();
      const std::uint32_t middle = (1u << (w.stored_bits - 1)) * 0x0101u;
      next_zeros[j] = w.zeros == nullptr ? middle : ask_zeros(j);
    }
    take_zeros();
    ask_scales();
  }
  /// The next group's zero points are asked for: they are wanted as soon as it begins. Where no group is behind the
  /// last, it stays: tokens are 0 there.
  PLANISH_DEVICE void advance() noexcept {
    if (--groups_behind < 0) return;
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) {
      place[j] += unit_channels;
      if (w.zeros != nullptr) next_zeros[j] = ask_zeros(j);
    }
  }
  PLANISH_DEVICE void take_zeros() noexcept {
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) {
      zeros[j][0] = (next_zeros[j] & 255u) * 0x10001u;
      zeros[j][1] = (next_zeros[j] >> 8) * 0x10001u;
    }
  }
  PLANISH_DEVICE void ask_scales() noexcept {
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) {
      const Vector8 two = *reinterpret_cast<const Vector8*>(w.scales + place[j]);
      PLANISH_UNROLL
      for (int h = 0; h < 2; ++h) scales[j][h] = float_of(two.words[h]);
    }
  }

 private:
  [[nodiscard]] PLANISH_DEVICE std::uint32_t ask_zeros(int j) const noexcept {
    return *reinterpret_cast<const std::uint16_t*>(w.zeros + place[j]);
  }
};

/// With scales of groups: two sets of sums, one of which is scaled while the products of the other run.
template <class Tile>
requires(Tile::grouped) struct PipelineSums<Tile> {
  using Products = PipelineProducts<Tile>;
  using Sums = typename Products::Sums;
  static constexpr int halves = Tile::halves, count = Tile::registers;
  const WeightOnlyArguments& a;
  const StartedRing<Tile>& started;
  int first_unit;
  Sums whole = {};

  PLANISH_DEVICE PipelineSums(const WeightOnlyArguments& of, const StartedRing<Tile>& ring, int unit) noexcept
      : a(of), started(ring), first_unit(unit) {}

  PLANISH_DEVICE void multiply(int begin, int end, RingPlace<Tile>& place) noexcept {
    const int column = begin * float_unit_columns, group = column / a.w.group_columns;
    const int columns = (group + 1) * a.w.group_columns - column;  // that are left of it
    GroupWalk<Tile> side(a.w, first_unit, group);
    if (a.w.group_columns % float_unit_columns == 0)
      multiply_stages(side, columns / float_unit_columns, end - begin, place);
    else
      multiply_halves(side, columns / 32, end - begin, place);
  }
  PLANISH_DEVICE Sums& end() noexcept { return whole; }

 private:
  PLANISH_DEVICE void add_scaled(Sums& sums, const float (&scales)[halves][2]) noexcept {
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) {
      settle(sums[j]);
      PLANISH_UNROLL
      for (int i = 0; i < count; ++i) whole[j][i] = fused_multiply_add(sums[j][i], scales[j][i % 4 / 2], whole[j][i]);
    }
  }
  [[nodiscard]] PLANISH_DEVICE const unsigned char* wait_stage(const RingPlace<Tile>& place) const noexcept {
    wait_phase(&started.ends.full[place.stage], place.parity);
    return started.ring + place.stage * Tile::stage_bytes;
  }
  PLANISH_DEVICE void release(int stage) const noexcept { release_stage<Tile>(started.ends, stage); }

  /// What is left of a group of `stages` whole stages behind its first half, and the first half of the next group, if
  /// `left` stages are more than these. The compiler sees in one piece of code that the sums it scales are complete.
  PLANISH_DEVICE bool finish_group(Sums& own, Sums& other, GroupWalk<Tile>& side, int stages, int left,
                                   RingPlace<Tile>& place) noexcept {
    const unsigned char* stage = started.ring + place.stage * Tile::stage_bytes;
    PLANISH_NO_UNROLL
    for (int i = 1; i < stages && i < left; ++i) {
      Products::start_half(own, side.zeros, stage, 1, true);
      wait_products<1>();
      const int before = place.stage;
      place.next();
      stage = wait_stage(place);
      Products::start_half(own, side.zeros, stage, 0, true);
      wait_products<1>();
      release(before);
    }
    if (stages < left) side.advance();
    Products::start_half(own, side.zeros, stage, 1, true);
    wait_products<1>();
    const int before = place.stage;
    place.next();
    if (stages >= left) {  // here, not where paths meet: the compiler would move sums whose products are under way
      wait_products<0>();
      release(before);
      add_scaled(own, side.scales);
      return false;
    }
    side.take_zeros();
    stage = wait_stage(place);
    Products::start_half(other, side.zeros, stage, 0, false);
    wait_products<1>();
    release(before);
    add_scaled(own, side.scales);
    side.ask_scales();
    return true;
  }
  PLANISH_DEVICE void multiply_stages(GroupWalk<Tile>& side, int stages, int left, RingPlace<Tile>& place) noexcept {
#ifdef ONE_SET
    Sums own;
    const unsigned char* stage = wait_stage(place);
    Products::start_half(own, side.zeros, stage, 0, false);
    PLANISH_NO_UNROLL
    for (;;) {
      PLANISH_NO_UNROLL
      for (int i = 1; i < stages && i < left; ++i) {
        Products::start_half(own, side.zeros, stage, 1, true);
        wait_products<1>();
        const int before = place.stage;
        place.next();
        stage = wait_stage(place);
        Products::start_half(own, side.zeros, stage, 0, true);
        wait_products<1>();
        release(before);
      }
      if (stages < left) side.advance();
      Products::start_half(own, side.zeros, stage, 1, true);
      const int before = place.stage;
      place.next();
      if (stages >= left) {
        wait_products<0>();
        release(before);
        add_scaled(own, side.scales);
        return;
      }
      left -= stages;
      stages = a.w.group_columns / float_unit_columns;
      side.take_zeros();
      stage = wait_stage(place);
      std::uint32_t fragments[halves][2][4];
      Products::expand(fragments, side.zeros, stage, 0);
      wait_products<0>();
      release(before);
      add_scaled(own, side.scales);
      side.ask_scales();
      begin_products();
      Products::start(own, fragments, stage, 0, false);
      commit_products();
    }
#endif
    Sums even, odd;
    Products::start_half(even, side.zeros, wait_stage(place), 0, false);
    const int whole_group = a.w.group_columns / float_unit_columns;
    PLANISH_NO_UNROLL
    for (;;) {
      if (!finish_group(even, odd, side, stages, left, place)) break;
      left -= stages;
      stages = whole_group;
      if (!finish_group(odd, even, side, stages, left, place)) break;
      left -= stages;
    }
  }
  /// Groups that end within stages, `parts` of 32 columns in the first.
  PLANISH_DEVICE void multiply_halves(GroupWalk<Tile>& side, int parts, int left, RingPlace<Tile>& place) noexcept {
    Sums sums;
    bool add = false;
    int before = -1;
    PLANISH_NO_UNROLL
    for (; left > 0; --left, place.next()) {
      const unsigned char* const stage = wait_stage(place);
      PLANISH_UNROLL
      for (int half = 0; half < 2; ++half) {
        Products::start_half(sums, side.zeros, stage, half, add);
        wait_products<1>();
        if (half == 0 && before >= 0) release(before);
        add = true;
        if (--parts > 0) continue;
        parts = a.w.group_columns / 32;
        wait_products<0>();
        add_scaled(sums, side.scales);
        add = false;
        side.advance();
        side.take_zeros();
        side.ask_scales();
      }
      before = place.stage;
    }
    wait_products<0>();
    release(before);
    if (add) add_scaled(sums, side.scales);
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
