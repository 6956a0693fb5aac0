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

/// Scales and zero points of a thread's two channels, group after group.
struct GroupWalk {
  const FloatWeightsView& w;
  int groups_behind;   // that one whose zero points came last
  std::int64_t place;  // of its side data
  std::uint32_t next_zeros;
  float scales[2];
  std::uint32_t zeros[2];  // as pairs

  /// Where `unit` does not exist the first stands in, whose outputs nobody stores.
  PLANISH_DEVICE GroupWalk(const FloatWeightsView& of, int unit, int group) noexcept
      : w(of),
        groups_behind(of.groups() - 1 - group),
        place((std::int64_t{unit < of.channel_units() ? unit : 0} * of.groups() + group) * unit_channels +
              own_channel()),
        next_zeros((1u << (of.stored_bits - 1)) * 0x0101u) {
    if (w.zeros != nullptr) next_zeros = ask_zeros();
    take_zeros();
    ask_scales();
    advance();
  }
  /// Zero points of the group behind, asked for before, for the codes that come now.
  PLANISH_DEVICE void take_zeros() noexcept {
    zeros[0] = (next_zeros & 255u) * 0x10001u;
    zeros[1] = (next_zeros >> 8) * 0x10001u;
  }
  /// Its scales are asked for, which are wanted at its end, and the zero points of the next one.
  PLANISH_DEVICE void next() noexcept {
    ask_scales();
    advance();
  }

 private:
  /// Where no group is behind the last, it stays: tokens are 0 there.
  PLANISH_DEVICE void advance() noexcept {
    if (--groups_behind < 0) return;
    place += unit_channels;
    if (w.zeros != nullptr) next_zeros = ask_zeros();
  }
  PLANISH_DEVICE void ask_scales() noexcept {
    const Vector8 two = *reinterpret_cast<const Vector8*>(w.scales + place);
    PLANISH_UNROLL
    for (int h = 0; h < 2; ++h) scales[h] = float_of(two.words[h]);
  }
  [[nodiscard]] PLANISH_DEVICE std::uint32_t ask_zeros() const noexcept {
    return *reinterpret_cast<const std::uint16_t*>(w.zeros + place);
  }
};

/// The sums of a warpgroup. All products of a stage are started together: those of fewer columns, one after the other,
/// were slower.
template <class Tile>
struct PipelineSums {
  static constexpr int count = Tile::registers;
  using E = typename Tile::E;
  using Sums = float[count];
  using HalfFragments = std::uint32_t[2][4];  // of 32 columns
  const WeightOnlyArguments& a;
  const StartedRing<Tile>& started;
  int unit;
  Sums parts, whole;  // without groups parts are all

  PLANISH_DEVICE PipelineSums(const WeightOnlyArguments& of, const StartedRing<Tile>& ring, int own_unit) noexcept
      : a(of), started(ring), unit(own_unit) {}

  /// Stages `begin` to `end`, at least one. Their products are under way after it where scales are of channels.
  PLANISH_DEVICE void multiply(int begin, int end, RingPlace<Tile>& place) noexcept {
    const int column = begin * float_unit_columns, group = column / a.w.group_columns;
    const int columns = (group + 1) * a.w.group_columns - column;  // that the first group has left
    GroupWalk side(a.w, unit, group);
    if constexpr (Tile::grouped) {
      PLANISH_UNROLL
      for (int i = 0; i < count; ++i) whole[i] = 0.0f;
      if (a.w.group_columns % float_unit_columns != 0) return multiply_halves(side, columns / 32, end - begin, place);
    }
    multiply_stages(side, columns / float_unit_columns, end - begin, place);
  }
  /// The sums, once the products are done.
  PLANISH_DEVICE Sums& end() noexcept {
    wait_products<0>();
    if (before_ >= 0) release_stage<Tile>(started.ends, before_);
    if constexpr (Tile::grouped) return whole;
    settle(parts);
    return parts;
  }

 private:
  int before_ = -1;  // the stage whose products are under way

  PLANISH_DEVICE void multiply_stages(GroupWalk& side, int stages, int left, RingPlace<Tile>& place) noexcept {
    bool add = false;
    const auto step = [&] {
      const unsigned char* const stage = wait_stage(place);
      HalfFragments fragments[2];
      const bool begins = Tile::grouped && stages == 0;  // a group, and one ended
      if (begins) side.take_zeros();
      expand(fragments[0], side, stage, 0);
      expand(fragments[1], side, stage, 1);
      if (begins) {
        end_group(side.scales);
        side.next();
        stages = a.w.group_columns / float_unit_columns;
        add = false;
      }
      begin_products();
      start(fragments[0], stage, 0, add);
      start(fragments[1], stage, 1, true);
      commit_products();
      add = true;
      wait_products<1>();
      release_before();
      before_ = place.stage;
      place.next();
      --stages;
    };
    PLANISH_NO_UNROLL
    for (;;) {  // two sets of fragments: one is read while the other is written
      step();
      if (--left == 0) break;
      step();
      if (--left == 0) break;
    }
    if constexpr (Tile::grouped) end_group(side.scales);
  }
  /// Groups that end within stages, `parts_left` of 32 columns in the first.
  PLANISH_DEVICE void multiply_halves(GroupWalk& side, int parts_left, int left, RingPlace<Tile>& place) noexcept {
    bool add = false;
    PLANISH_NO_UNROLL
    for (; left > 0; --left, place.next()) {
      const unsigned char* const stage = wait_stage(place);
      PLANISH_UNROLL
      for (int half = 0; half < 2; ++half) {
        HalfFragments fragments;
        expand(fragments, side, stage, half);
        begin_products();
        start(fragments, stage, half, add);
        commit_products();
        wait_products<1>();
        if (half == 0) release_before();
        add = true;
        if (--parts_left > 0) continue;
        parts_left = a.w.group_columns / 32;
        end_group(side.scales);
        add = false;
        side.take_zeros();
        side.next();
      }
      before_ = place.stage;
    }
    if (add) end_group(side.scales);
  }
  [[nodiscard]] PLANISH_DEVICE const unsigned char* wait_stage(const RingPlace<Tile>& place) const noexcept {
    wait_phase(&started.ends.full[place.stage], place.parity);
    return started.ring + place.stage * Tile::stage_bytes;
  }
  PLANISH_DEVICE void release_before() noexcept {
    if (before_ >= 0) release_stage<Tile>(started.ends, before_);
    before_ = -1;
  }
  /// The weights of half a stage.
  PLANISH_DEVICE static void expand(HalfFragments& fragments, const GroupWalk& side, const unsigned char* stage,
                                    int half) noexcept {
    const int thread = thread_index();
    const auto packed =
        LaneWords<Tile::stored_bits>::load(stage + Tile::token_bytes + (thread / group_size - 1) * Tile::unit_bytes,
                                           half, lane_tile(thread / warp_size, thread % warp_size));
    expand_fragment<E, 0>(packed, side.zeros, fragments[0]);
    expand_fragment<E, 1>(packed, side.zeros, fragments[1]);
    settle(fragments);
  }
  /// Their products. `add`: to what the sums are.
  PLANISH_DEVICE void start(const HalfFragments& fragments, const unsigned char* stage, int half, bool add) noexcept {
    PLANISH_UNROLL
    for (int s = 0; s < 2; ++s) multiply_group(E{}, parts, fragments[s], stage, 64 * half + 32 * s, add || s > 0);
  }
  PLANISH_DEVICE void end_group(const float (&scales)[2]) noexcept {
    wait_products<0>();
    settle(parts);
    PLANISH_UNROLL
    for (int i = 0; i < count; ++i) whole[i] = fused_multiply_add(parts[i], scales[i % 4 / 2], whole[i]);
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
