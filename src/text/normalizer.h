// The text changes before pre-tokenization.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/regex.h"
#include "text/unicode.h"

namespace r1::text {

struct UnicodeStep {
  NormalizationForm form = NormalizationForm::kNfc;
};
struct LowercaseStep {};
struct PrependStep {
  std::string prefix;
};  // nothing before an empty text
struct ReplaceStep {
  std::string from, to;
};  // a literal
struct RegexReplaceStep {
  Regex expression;
  std::string to;
};
struct StripStep {
  bool left = true, right = true;
};  // white space
/// A prefix unless the text begins with it: ByteLevel's add_prefix_space and Metaspace, which belong to the pre-tokenizer but
/// change the text. only_first: just for text at the very beginning of the input.
struct PrefixUnlessThereStep {
  std::string prefix;
  bool only_first = false;
};

using NormalizerStep =
    std::variant<UnicodeStep, LowercaseStep, PrependStep, ReplaceStep, RegexReplaceStep, StripStep, PrefixUnlessThereStep>;

/// The steps in order. Immutable, usable by several threads.
class Normalizer {
 public:
  explicit Normalizer(std::vector<NormalizerStep> steps = {}) : steps_(std::move(steps)) {}

  /// Normal form of valid UTF-8. Returns a view of `text` itself when nothing changes, else of `buffer`.
  /// at_start: the text begins where the input begins.
  std::string_view apply(std::string_view text, bool at_start, std::string& buffer) const;

  bool empty() const { return steps_.empty(); }

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace r1::text
