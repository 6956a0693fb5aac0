#include "evaluate.hpp"

#include <algorithm>
#include <chrono>

#include <planish/core/random.hpp>

namespace llama {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Lengths of the pieces in which a window is fed.
std::vector<index> pieces_of(index length, const FeedOptions& feed) {
  if (feed.decode) return std::vector<index>(static_cast<std::size_t>(length), 1);
  if (!feed.cuts) return {length};
  constexpr std::uint64_t longest = 97;
  std::vector<index> pieces;
  planish::Random random(*feed.cuts);
  for (index left = length; left > 0; left -= pieces.back())
    pieces.push_back(std::min<index>(left, static_cast<index>(1 + random.below(longest))));
  return pieces;
}

/// Scores hidden states against the tokens that came, a tile of logits at a time.
class Scorer {
 public:
  Scorer(Session& session, const HiddenStates* reference, ExecutorReference executor)
      : session_(session), reference_(reference), executor_(executor) {}

  /// `first` is the row of the reference that belongs to the first row of `hidden`.
  void score(MatrixView<const float> hidden, std::span<const int> targets, std::span<PositionScore> scores,
             index first) {
    constexpr index tile_rows = 64;
    for (index row = 0; row < hidden.rows(); row += tile_rows) {
      const index count = std::min(tile_rows, hidden.rows() - row);
      MatrixView<const float> expected;
      if (reference_ != nullptr) {
        const index columns = hidden.columns();
        expected = reference_logits({reference_->rows.data() + (first + row) * columns, count, columns});
      }
      const MatrixView<const float> logits = session_.logits(hidden.middle_rows(row, count));
      const auto at = static_cast<std::size_t>(row), size = static_cast<std::size_t>(count);
      score_rows(logits, expected, targets.subspan(at, size), scores.subspan(at, size), executor_);
    }
  }

 private:
  MatrixView<const float> reference_logits(MatrixView<const float> states) {
    const Model& model = session_.model();
    const auto out = reference_logits_.view(states.rows(), model.config().vocabulary);
    if (model.device() != nullptr && reference_->head == model.shared_head()) {
      const MatrixView<const float> made = session_.logits(states);  // valid until the session is asked again
      std::copy_n(made.data(), made.size(), out.data());
    } else {
      reference_->head->logits(states, out, scratch_, executor_);
    }
    return out;
  }

  Session& session_;
  const HiddenStates* reference_;
  ExecutorReference executor_;
  FloatRows reference_logits_;
  ScratchBytes scratch_;
};

}  // namespace

Evaluation evaluate(const Model& model, const Windows& windows, const FeedOptions& feed, const HiddenStates* reference,
                    HiddenStates* keep, ExecutorReference executor, const std::function<void(index)>& on_tokens) {
  constexpr index decode_sequences = 16, prefill_rows = 1024;
  const auto length = static_cast<index>(windows.length()), count = static_cast<index>(windows.count());
  const index predictions = length - 1, columns = model.config().hidden_size;
  const index together = std::min(count, feed.decode ? decode_sequences : std::max<index>(1, prefill_rows / length));
  const std::vector<index> pieces = pieces_of(length, feed);

  Evaluation result;
  Session session(model, together, length, executor);
  Scorer scorer(session, reference, executor);
  if (keep != nullptr) *keep = {model.shared_head(), {}};
  std::vector<float> states(static_cast<std::size_t>(together * predictions * columns));
  std::vector<PositionScore> scores(static_cast<std::size_t>(predictions));

  for (index window = 0; window < count; window += together) {
    const index sequences = std::min(together, count - window);
    index position = 0;
    for (index piece : pieces) {
      std::vector<Segment> segments;
      std::vector<int> ids;
      for (index s = 0; s < sequences; ++s) {
        segments.push_back({s, piece});
        const auto part = windows[static_cast<std::size_t>(window + s)].subspan(static_cast<std::size_t>(position),
                                                                                static_cast<std::size_t>(piece));
        ids.insert(ids.end(), part.begin(), part.end());
      }
      const auto start = Clock::now();
      const MatrixView<const float> hidden = session.forward(segments, ids);
      result.forward_seconds += seconds_since(start);
      result.tokens += hidden.rows();
      const index scored = std::min(piece, predictions - position);  // nothing follows the last token of a window
      for (index s = 0; s < sequences; ++s)
        for (index r = 0; r < scored; ++r)
          std::copy_n(hidden.row(s * piece + r), columns, states.begin() + (s * predictions + position + r) * columns);
      position += piece;
      if (on_tokens && pieces.size() > 1) on_tokens(hidden.rows());
    }
    for (index s = 0; s < sequences; ++s) {
      const MatrixView<const float> hidden(states.data() + s * predictions * columns, predictions, columns);
      scorer.score(hidden, windows[static_cast<std::size_t>(window + s)].subspan(1), scores,
                   (window + s) * predictions);
      result.score.add_window(scores);
      if (keep != nullptr) keep->rows.insert(keep->rows.end(), hidden.data(), hidden.data() + hidden.size());
      session.truncate(s, 0);
      if (on_tokens && pieces.size() == 1) on_tokens(length);
    }
  }
  return result;
}

double measure_decode(const Model& model, std::span<const int> prompt, double seconds, ExecutorReference executor) {
  constexpr index most_tokens = 96;
  const auto length = static_cast<index>(prompt.size());
  Session session(model, 1, length + most_tokens + 1, executor);
  MatrixView<const float> logits = session.logits(session.forward(prompt).middle_rows(length - 1, 1));
  const auto next = [&] { return likeliest({logits.data(), static_cast<std::size_t>(logits.columns())}); };
  const auto step = [&] {
    const int id = next();
    logits = session.logits(session.forward({&id, 1}));
  };
  step();  // the first one grows buffers
  const auto start = Clock::now();
  index tokens = 0;
  double passed = 0.0;
  while (tokens < most_tokens - 1 && passed < seconds) {
    step();
    ++tokens;
    passed = seconds_since(start);
  }
  return static_cast<double>(tokens) / passed;
}

}  // namespace llama
