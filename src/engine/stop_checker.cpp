#include "engine/stop_checker.h"

#include <algorithm>

namespace r1::engine {

std::optional<std::size_t> find_stop_text(const std::string& text, const std::vector<std::string>& stop_texts, std::size_t from) {
  std::size_t first = std::string::npos;
  for (const std::string& stop : stop_texts) first = std::min(first, text.find(stop, from));
  return first == std::string::npos ? std::nullopt : std::optional(first);
}

StopChecker::StopChecker(text::Tokenizer tokenizer, const std::vector<std::string>& stop_texts)
    : decoder_(std::move(tokenizer), {.skip_special_tokens = true}), stop_texts_(stop_texts) {
  for (const std::string& stop : stop_texts) longest_ = std::max(longest_, stop.size());
}

bool StopChecker::add(std::int32_t id) {
  const std::size_t known = text_.size();
  text_ += decoder_.add(id);
  return find_stop_text(text_, stop_texts_, known < longest_ ? 0 : known - longest_ + 1).has_value();
}

}  // namespace r1::engine
