// Small text helpers that several folders share.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace r1 {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);
/// Without ASCII white space at both ends.
std::string_view trim(std::string_view text);
std::string to_lower_ascii(std::string_view text);
std::string replace_all(std::string text, std::string_view from, std::string_view to);

/// The whole text as a number; nothing when any character is left over.
std::optional<std::int64_t> parse_int(std::string_view text);
std::optional<double> parse_double(std::string_view text);

/// The candidate with the smallest edit distance, when it is near enough to be meant; '-' and '_' count as equal.
std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> candidates);

/// "1.5 GiB", "640 B".
std::string format_bytes(double bytes);
/// "2 h 03 min", "4 min 05 s", "12.3 s".
std::string format_seconds(double seconds);
/// "25.3 M", "1.5 B".
std::string format_count(double count);

/// Offset of the first byte that is not valid UTF-8 (RFC 3629: no surrogates, nothing over U+10FFFF, no overlong form).
std::optional<std::size_t> first_invalid_utf8(std::string_view text);
/// Each maximal ill-formed subpart becomes one U+FFFD, as Python's errors="replace" does.
std::string replace_invalid_utf8(std::string_view text);

/// Next code point of a valid UTF-8 text; position moves behind it.
char32_t next_code_point(std::string_view text, std::size_t& position);
void append_utf8(std::string& text, char32_t code_point);
std::size_t count_code_points(std::string_view valid_utf8);

/// Standard base64 with padding. Nothing for a text that is not base64.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace r1
