#include "text/pretokenizer.h"

#include <algorithm>

#include "text/piece_scanners.h"

namespace r1::text {
namespace {

struct Section {
  std::size_t begin, end;
  bool is_match;
};

std::vector<Section> sections_of(std::string_view text, const SplitStep& step) {
  std::vector<Section> sections;
  std::size_t done = 0;
  for (const auto& [begin, end] : step.expression.find_all(text)) {
    if (begin > done) sections.push_back({done, begin, step.invert});
    sections.push_back({begin, end, !step.invert});
    done = end;
  }
  if (done < text.size()) sections.push_back({done, text.size(), step.invert});
  return sections;
}

/// Joins matches to their neighbours as the behaviour says; a match after a match stays alone, as in the reference.
std::vector<Section> joined(std::vector<Section> sections, SplitBehavior behavior) {
  if (behavior == SplitBehavior::kIsolated || behavior == SplitBehavior::kRemoved) return sections;
  if (behavior == SplitBehavior::kMergedWithNext) std::reverse(sections.begin(), sections.end());
  std::vector<Section> result;
  bool previous_match = false;
  for (const Section& section : sections) {
    const bool join = behavior == SplitBehavior::kContiguous ? section.is_match == previous_match : section.is_match && !previous_match;
    if (join && !result.empty()) {
      result.back().begin = std::min(result.back().begin, section.begin);
      result.back().end = std::max(result.back().end, section.end);
    } else {
      result.push_back(section);
    }
    previous_match = section.is_match;
  }
  if (behavior == SplitBehavior::kMergedWithNext) std::reverse(result.begin(), result.end());
  return result;
}

void apply(const PretokenizerStep& step, std::string_view text, std::size_t base, std::vector<std::size_t>& ends) {
  if (const auto* scanner = std::get_if<ScannerStep>(&step)) {
    if (scanner->kind == ScannerStep::Kind::kWords) scan_words(text, scanner->max_digits, base, ends);
    else scan_deepseek(text, base, ends);
    return;
  }
  const auto& split = std::get<SplitStep>(step);
  for (const Section& section : joined(sections_of(text, split), split.behavior)) {
    if (section.begin == section.end) continue;
    const bool dropped = split.behavior == SplitBehavior::kRemoved && section.is_match;
    ends.push_back((base + section.end) | (dropped ? Pretokenizer::kDropped : 0));
  }
}

}  // namespace

void Pretokenizer::cut(std::string_view text, std::vector<std::size_t>& ends) const {
  ends.clear();
  if (text.empty()) return;
  if (steps_.empty()) {
    ends.push_back(text.size());
    return;
  }
  apply(steps_[0], text, 0, ends);
  for (std::size_t i = 1; i < steps_.size(); ++i) {
    const std::vector<std::size_t> outer = std::move(ends);
    ends.clear();
    std::size_t begin = 0;
    for (const std::size_t marked_end : outer) {
      const std::size_t end = marked_end & ~kDropped;
      if ((marked_end & kDropped) != 0) ends.push_back(marked_end);
      else apply(steps_[i], text.substr(begin, end - begin), begin, ends);
      begin = end;
    }
  }
}

}  // namespace r1::text
