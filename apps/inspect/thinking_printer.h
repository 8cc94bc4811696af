// Text as it is streamed to a terminal, the part between <think> and </think> dimmed.
#pragma once

#include <string>
#include <string_view>

namespace r1::apps {

class ThinkingPrinter {
 public:
  /// Without colour the text passes unchanged. starts_inside: the prompt ended with an opened think tag.
  ThinkingPrinter(bool colour, bool starts_inside) : colour_(colour), inside_(starts_inside) {}

  /// What to print now: a piece that may be the beginning of a tag is held back.
  std::string add(std::string_view piece);
  /// What was held back, and the end of the dimming.
  std::string flush();

 private:
  std::string take(std::size_t count);

  bool colour_, inside_;
  bool is_dim_ = false;
  std::string pending_;
};

}  // namespace r1::apps
