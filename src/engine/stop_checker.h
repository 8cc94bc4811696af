// Texts that end a completion, found while its tokens arrive.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "text/stream_decoder.h"

namespace r1::engine {

/// First place in text of any of the stop texts; nothing when there is none.
std::optional<std::size_t> find_stop_text(const std::string& text, const std::vector<std::string>& stop_texts, std::size_t from = 0);

class StopChecker {
 public:
  StopChecker(text::Tokenizer tokenizer, const std::vector<std::string>& stop_texts);

  /// Whether the text of all ids so far contains a stop text. A character whose bytes are not complete yet is not text yet.
  bool add(std::int32_t id);

 private:
  text::StreamDecoder decoder_;
  const std::vector<std::string>& stop_texts_;
  std::size_t longest_ = 0;
  std::string text_;
};

}  // namespace r1::engine
