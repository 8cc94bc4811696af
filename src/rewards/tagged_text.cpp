#include "rewards/tagged_text.h"

#include "base/strings.h"
#include "verify/text_scan.h"

namespace r1::rewards {
namespace {

/// End of "</think>", white space, "<answer>" at its first place from position on, or npos.
std::size_t behind_loose_tags(std::string_view text, std::size_t position) {
  constexpr std::string_view kClose = "</think>", kOpen = "<answer>";
  for (std::size_t close = text.find(kClose, position); close != std::string_view::npos; close = text.find(kClose, close + 1)) {
    const std::size_t open = verify::skip_spaces(text, close + kClose.size());
    if (text.substr(open).starts_with(kOpen)) return open + kOpen.size();
  }
  return std::string_view::npos;
}

std::size_t behind_strict_tags(std::string_view text, std::size_t position) {
  constexpr std::string_view kTags = "\n</think>\n<answer>\n";
  const std::size_t found = text.find(kTags, position);
  return found == std::string_view::npos ? found : found + kTags.size();
}

}  // namespace

std::string text_with_opening(const Completion& completion, Revision revision) {
  std::string text;
  const std::size_t open = is_r1(revision) ? completion.opened.rfind("<think>") : std::string_view::npos;
  if (open != std::string_view::npos) text = completion.opened.substr(open);
  text += completion.text;
  return text;
}

std::optional<std::string_view> answer_part(std::string_view text, Revision revision) {
  const bool loose = is_feb25(revision);
  const std::string_view start = loose ? "<think>" : "<think>\n", end_tag = loose ? "</answer>" : "\n</answer>";
  if (!text.starts_with(start)) return std::nullopt;
  const std::size_t begin = loose ? behind_loose_tags(text, start.size()) : behind_strict_tags(text, start.size());
  if (begin == std::string_view::npos) return std::nullopt;
  for (std::size_t end = text.rfind(end_tag); end != std::string_view::npos && end >= begin;
       end = end == 0 ? std::string_view::npos : text.rfind(end_tag, end - 1)) {
    const std::size_t behind = end + end_tag.size();
    if (behind == text.size() || text[behind] == '\n') return text.substr(begin, end - begin);
  }
  return std::nullopt;
}

std::optional<std::string_view> last_answer(std::string_view text) {
  constexpr std::string_view kOpen = "<answer>", kClose = "</answer>";
  const std::size_t open = text.rfind(kOpen);
  if (open == std::string_view::npos) return std::nullopt;
  const std::size_t close = text.find(kClose, open);
  if (close == std::string_view::npos) return std::nullopt;
  return verify::strip_spaces(text.substr(open + kOpen.size(), close - open - kOpen.size()));
}

}  // namespace r1::rewards
