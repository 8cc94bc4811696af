// Cuts normalised text into the pieces that the model encodes one by one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/regex.h"

namespace r1::text {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// A step that cuts at the matches of an expression (Split, Digits, ByteLevel with its expression, Metaspace's cut).
struct SplitStep {
  Regex expression;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;
};
/// A hand-written scanner in place of the expression(s) that it is known to equal.
struct ScannerStep {
  enum class Kind { kWords, kDeepSeek } kind = Kind::kWords;
  int max_digits = 1;
};
using PretokenizerStep = std::variant<ScannerStep, SplitStep>;

/// The steps in order, each on the pieces of the one before. Immutable, usable by several threads.
class Pretokenizer {
 public:
  explicit Pretokenizer(std::vector<PretokenizerStep> steps = {}) : steps_(std::move(steps)) {}

  /// Marks a piece that is dropped (behaviour Removed) in the list of ends.
  static constexpr std::size_t kDropped = std::size_t{1} << 63;

  /// End offsets of the pieces of valid UTF-8, ascending; ends[i] & kDropped marks a piece without tokens.
  void cut(std::string_view text, std::vector<std::size_t>& ends) const;

  bool empty() const { return steps_.empty(); }

 private:
  std::vector<PretokenizerStep> steps_;
};

}  // namespace r1::text
