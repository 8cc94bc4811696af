#include "apps/inspect/thinking_printer.h"

#include <algorithm>

namespace r1::apps {
namespace {

constexpr std::string_view kOpen = "<think>", kClose = "</think>";
constexpr std::string_view kDim = "\033[2m", kNormal = "\033[0m";

/// Length of the longest end of text that begins the tag.
std::size_t partial_tag(std::string_view text, std::string_view tag) {
  for (std::size_t length = std::min(text.size(), tag.size() - 1); length > 0; --length) {
    if (text.ends_with(tag.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

std::string ThinkingPrinter::take(std::size_t count) {
  std::string text = pending_.substr(0, count);
  pending_.erase(0, count);
  if (text.empty() || inside_ == is_dim_) return text;
  is_dim_ = inside_;
  return std::string(inside_ ? kDim : kNormal) + text;
}

std::string ThinkingPrinter::add(std::string_view piece) {
  if (!colour_) return std::string(piece);
  pending_ += piece;
  std::string out;
  while (true) {
    const std::string_view tag = inside_ ? kClose : kOpen;
    const std::size_t at = pending_.find(tag);
    if (at == std::string::npos) break;
    if (inside_) {  // the tags belong to the thinking
      out += take(at + tag.size());
      inside_ = false;
    } else {
      out += take(at);
      inside_ = true;
      out += take(tag.size());
    }
  }
  return out + take(pending_.size() - partial_tag(pending_, inside_ ? kClose : kOpen));
}

std::string ThinkingPrinter::flush() {
  std::string out = take(pending_.size());
  if (is_dim_) out += kNormal;
  is_dim_ = false;
  return out;
}

}  // namespace r1::apps
