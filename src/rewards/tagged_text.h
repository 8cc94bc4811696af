// The shape of a completion: its think and answer tags.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "rewards/reward.h"

namespace r1::rewards {

/// The completion's text, in r1 behind what the chat template already opened for it.
std::string text_with_opening(const Completion& completion, Revision revision);

/// What stands in the answer part when the text has the shape of the revision: think block first, nothing before it; the closing
/// answer tag ends a line. Nothing otherwise. The part runs to the last such tag.
std::optional<std::string_view> answer_part(std::string_view text, Revision revision);

/// The text inside the last answer tags, without white space at its ends; nothing without such tags.
std::optional<std::string_view> last_answer(std::string_view text);

}  // namespace r1::rewards
