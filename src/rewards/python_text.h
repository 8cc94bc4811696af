// Text the way Python sees it: decimal digits, lower case and words of Unicode.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace r1::rewards {

/// Bytes of the decimal digit (of any script) at position; 0 when there is none.
std::size_t decimal_digit_length(std::string_view text, std::size_t position);

/// str.lower(), the final form of sigma included.
std::string lower_case(std::string_view text);

/// str.split(): words between white space; views into text.
std::vector<std::string_view> split_words(std::string_view text);

}  // namespace r1::rewards
