// Grading: the answer in a completion against the gold answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verify/extract_answer.h"

namespace r1::verify {

enum class Status {
  kEqual,
  kDifferent,
  kUnparsed,    // one of the two has no answer that can be read, and their texts differ
  kOverBudget,  // too long, too deep or too expensive to decide: not equal
};

/// "equal", "different", "unparsed", "over_budget".
std::string_view status_name(Status status);

/// How answers are looked for and compared.
struct Profile {
  ExtractionOptions gold;
  ExtractionOptions prediction;
  bool strict = false;
};

/// A profile by name: default (LaTeX and plain numbers), open_r1 (the accuracy reward of Open R1: boxes first, LaTeX behind an anchor
/// only), latex, expr, choice (the letters A to D). Throws Error(kUsage) for another name. strict turns the leniencies off that
/// docs/verification.md lists: bases, unit letters, tiny numbers.
Profile profile_by_name(std::string_view name, bool strict = false);

struct Verdict {
  Status status = Status::kUnparsed;
  bool correct() const { return status == Status::kEqual; }
};

/// Never throws, never hangs, bounded memory; thread-safe. Not symmetric: see Comparator. decimals: places that a decimal is rounded to;
/// none: six.
Verdict compare_answers(const Answer& gold, const Answer& prediction, bool strict = false, std::optional<int> decimals = std::nullopt);

/// Extraction of both texts, then comparison.
Verdict verify(std::string_view gold, std::string_view prediction, const Profile& profile);

/// What was extracted, as text: the expression and then the normalised source.
std::vector<std::string> describe(const Answer& answer);

}  // namespace r1::verify
