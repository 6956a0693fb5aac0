#pragma once
// Weights on their way to matrix tiles, a chunk of a panel ahead of the products.
#include <planish/core/abi.hpp>

#if defined(PLANISH_HAS_AMX_INT8)
#include <algorithm>
#include <cstdint>
#include <cstring>

#include <planish/core/executor.hpp>
#include <planish/kernels/cpu/isa/amx.hpp>
#include <planish/kernels/cpu/tile_plan.hpp>
#include <planish/packing/packed_weights.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// The chunks of all panels in the order that a block of rows meets them.
class ChunkCursor {
 public:
  ChunkCursor(const TilePlan& plan, Range panels, index batch) noexcept
      : plan_(plan), panels_(panels), batch_(batch), first_(panels.begin), panel_(panels.begin) {}

  [[nodiscard]] index panel() const noexcept { return panel_; }
  [[nodiscard]] index chunk() const noexcept { return chunk_; }
  /// Of the panel, within its batch.
  [[nodiscard]] index slot() const noexcept { return panel_ - first_; }

  /// False after the last one.
  bool advance() noexcept {
    if (++chunk_ < plan_.pass_begin(pass_ + 1)) return true;
    if (++panel_ < std::min(first_ + batch_, panels_.end)) {
      chunk_ = plan_.pass_begin(pass_);
      return true;
    }
    if (++pass_ == plan_.passes()) {
      pass_ = 0;
      first_ = panel_;
    }
    panel_ = first_;
    chunk_ = plan_.pass_begin(pass_);
    return panel_ < panels_.end;
  }

 private:
  const TilePlan& plan_;
  Range panels_;
  index batch_, first_, panel_, pass_ = 0, chunk_ = 0;
};

/// Makes the B tiles of a chunk, a few lines at a time, between the products of the chunk before: nibbles are expanded,
/// bytes are read where they lie and only asked for early, save where the row ends within a step.
template <CodeStorage Storage>
class WeightFeed {
 public:
  WeightFeed(const PackedWeightsView& w, const TilePlan& plan, std::uint8_t* memory) noexcept
      : w_(w), plan_(plan), memory_(memory) {}

  /// Begins with a chunk, to be ready after `times` calls of some().
  void start(const ChunkCursor& at, index times) noexcept {
    const index first = plan_.begin(at.chunk()) * isa::step_lines;
    const index last = std::min(plan_.begin(at.chunk() + 1) * isa::step_lines, line_count(w_.columns));
    lines_ = last - first;
    done_ = 0;
    each_ = (lines_ + times - 1) / std::max<index>(times, 1);
    from_ = w_.panels + at.panel() * w_.panel_bytes() + first * line_bytes(Storage);
    half_ ^= 1;
    to_ = memory_ + half_ * TileMemory::chunk_bytes;
    moves_ = Storage == CodeStorage::nibble || lines_ % isa::step_lines != 0;
  }

  PLANISH_ALWAYS_INLINE void some() noexcept { advance(std::min(each_, lines_ - done_)); }

  /// Finishes the chunk; where its tiles lie.
  [[nodiscard]] const std::uint8_t* ready() noexcept {
    advance(lines_ - done_);
    if (!moves_) return from_;
    for (index line = lines_; line % isa::step_lines != 0; ++line) {  // meets activations of 0
      std::memset(row(line), 0, 64);
      std::memset(row(line) + isa::second_tile_offset<Storage>, 0, 64);
    }
    return to_;
  }

 private:
  static constexpr index ahead = 8 * 1024;  // bytes of weights that are asked for before they are expanded

  [[nodiscard]] PLANISH_ALWAYS_INLINE std::uint8_t* row(index line) const noexcept {
    return to_ + line / isa::step_lines * isa::step_bytes + line % isa::step_lines * isa::tile_row_bytes<Storage>;
  }
  PLANISH_ALWAYS_INLINE void advance(index lines) noexcept {
    const index end = done_ + lines;
    const std::uint8_t* line = from_ + done_ * line_bytes(Storage);
    for (index i = done_; i < end; ++i, line += line_bytes(Storage)) {
      if constexpr (Storage == CodeStorage::nibble) {
        __builtin_prefetch(line + ahead, 0, 2);
        isa::expand_line(line, row(i));
      } else if (moves_) {
        isa::copy_line(line, row(i));
      } else {
        __builtin_prefetch(line, 0, 2);
        __builtin_prefetch(line + 64, 0, 2);
      }
    }
    done_ = end;
  }

  const PackedWeightsView& w_;
  const TilePlan& plan_;
  std::uint8_t* memory_;
  const std::uint8_t* from_ = nullptr;
  std::uint8_t* to_ = nullptr;
  index lines_ = 0, done_ = 0, each_ = 0, half_ = 0;
  bool moves_ = false;
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
#endif
