#include <algorithm>
#include <optional>
#include <vector>

#include "verify/normalise.h"
#include "verify/text_scan.h"

namespace r1::verify {
namespace {

constexpr std::string_view kBoxed = "\\boxed", kFbox = "\\fbox";

std::optional<std::size_t> closing_brace(std::string_view text, std::size_t open, std::size_t end) {
  int depth = 0;
  for (std::size_t i = open; i < end; ++i) {
    if (text[i] == '{') ++depth;
    if (text[i] == '}' && --depth == 0) return i;
  }
  return std::nullopt;
}

bool has_separator(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',' || text[i] == ';') return true;
    for (const std::string_view word : {std::string_view("and"), std::string_view("or")})
      if (text.substr(i).starts_with(word) && !is_word_before(text, i) && !is_word_at(text, i + word.size())) return true;
  }
  return false;
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

/// An earlier box belongs to the same answer when it is near, or a bit further away behind a separator.
bool belongs_together(std::string_view between, std::string_view earlier, std::string_view later) {
  const std::size_t distance = count_characters(between.substr(0, 300));
  if (distance < 10) return true;
  return earlier != later && distance < 70 && has_separator(between);
}

}  // namespace

std::string open_boxes(std::string_view text, BoxMode mode) {
  std::vector<std::string> contents;  // from the last box to the first
  std::optional<std::size_t> later_begin;
  std::size_t end = text.size();
  // Each kind is searched again only when its last place was used up: one pass over the text in total.
  std::size_t boxed = text.rfind(kBoxed), fbox = text.rfind(kFbox);
  while (end > 0) {
    if (boxed != std::string_view::npos && boxed + kBoxed.size() > end) boxed = text.substr(0, end).rfind(kBoxed);
    if (fbox != std::string_view::npos && fbox + kFbox.size() > end) fbox = text.substr(0, end).rfind(kFbox);
    if (boxed == std::string_view::npos && fbox == std::string_view::npos) break;
    const bool is_boxed = fbox == std::string_view::npos || (boxed != std::string_view::npos && boxed > fbox);
    const std::size_t begin = is_boxed ? boxed : fbox;
    const std::size_t open = skip_spaces(text.substr(0, end), begin + (is_boxed ? kBoxed.size() : kFbox.size()));
    if (open >= end) break;
    const auto close = text[open] == '{' ? closing_brace(text, open, end) : std::nullopt;
    if (!close) {
      if (contents.empty()) contents.emplace_back(text.substr(open));
      break;
    }
    std::string content(strip_spaces(text.substr(open + 1, *close - open - 1)));
    if (mode == BoxMode::kLast && later_begin) {
      const std::string_view between = *later_begin > *close ? text.substr(*close + 1, *later_begin - *close - 1) : std::string_view();
      if (!belongs_together(between, content, contents.empty() ? std::string_view() : std::string_view(contents.back()))) break;
    }
    if (contents.empty() || contents.back() != content) contents.push_back(std::move(content));
    later_begin = begin;
    end = begin;
  }
  if (contents.empty()) return std::string(text);
  std::string joined;
  for (auto content = contents.rbegin(); content != contents.rend(); ++content) {
    if (content != contents.rbegin()) joined.push_back(',');
    joined += *content;
  }
  return joined;
}

}  // namespace r1::verify
