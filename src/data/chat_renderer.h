// The chat template of a model as data preparation uses it.
#pragma once

#include <ctime>
#include <memory>
#include <optional>

#include "data/prompt_format.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace r1::data {

/// Renders with the tokenizer's special tokens; `now` is what strftime_now sees (absent: the clock at each call).
std::shared_ptr<const ChatRenderer> make_chat_renderer(text::ChatTemplate chat_template, const text::Tokenizer& tokenizer,
                                                       std::optional<std::tm> now = std::nullopt);

}  // namespace r1::data
