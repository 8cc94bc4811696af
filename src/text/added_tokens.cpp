#include "text/added_tokens.h"

#include <cstring>

#include "text/unicode.h"

namespace r1::text {
namespace {

/// Start of the code point that ends at `end` of a valid UTF-8 text, end > begin.
std::size_t previous_char(std::string_view text, std::size_t begin, std::size_t end) {
  do {
    --end;
  } while (end > begin && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

bool is_word_char(char32_t code_point) {
  return (char_classes(code_point) & (kLetter | kNumber | kMark)) != 0 || code_point == '_' || code_point == 0x203F ||
         code_point == 0x2040 || code_point == 0x200C || code_point == 0x200D;
}
bool is_white_space(char32_t code_point) { return (char_classes(code_point) & kWhiteSpace) != 0; }

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(const std::vector<AddedToken>& tokens, const std::vector<std::string>& patterns) {
  nodes_.emplace_back();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string& pattern = patterns[i];
    if (pattern.empty()) continue;
    std::uint32_t node = 0;
    for (const char c : pattern) {
      const auto byte = static_cast<unsigned char>(c);
      std::uint32_t next = 0;
      for (const auto& [label, child] : nodes_[node].children)
        if (label == byte) next = child;
      if (next == 0) {
        next = static_cast<std::uint32_t>(nodes_.size());
        nodes_[node].children.emplace_back(byte, next);
        nodes_.emplace_back();
      }
      node = next;
    }
    nodes_[node].token = static_cast<std::int32_t>(tokens_.size());
    tokens_.push_back(tokens[i]);
  }
  for (const auto& [label, child] : nodes_[0].children) first_[label] = child;
  if (nodes_[0].children.size() == 1) only_first_byte_ = nodes_[0].children[0].first;
}

std::int32_t AddedTokenMatcher::longest_match(std::string_view text, std::size_t position, std::size_t& match_end) const {
  std::uint32_t node = first_[static_cast<unsigned char>(text[position])];
  std::int32_t token = -1;
  for (std::size_t at = position + 1; node != 0; ++at) {
    if (nodes_[node].token >= 0) {
      token = nodes_[node].token;
      match_end = at;
    }
    if (at >= text.size()) break;
    std::uint32_t next = 0;
    for (const auto& [label, child] : nodes_[node].children)
      if (label == static_cast<unsigned char>(text[at])) next = child;
    node = next;
  }
  return token;
}

void AddedTokenMatcher::split(std::string_view whole, std::size_t begin, std::size_t end, std::vector<Stretch>& stretches) const {
  const std::string_view text = whole.substr(0, end);
  std::size_t done = begin;  // everything before belongs to a stretch already
  for (std::size_t position = begin; position < end;) {
    if (only_first_byte_ >= 0) {
      const void* found = std::memchr(text.data() + position, only_first_byte_, end - position);
      if (found == nullptr) break;
      position = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
    }
    std::size_t match_end = 0;
    const std::int32_t index = longest_match(text, position, match_end);
    if (index < 0) {
      ++position;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(index)];
    std::size_t match_begin = position;
    position = match_end;
    if (token.single_word) {
      const bool word_before =
          match_begin > begin && is_word_char(decode_char(text.data() + previous_char(text, begin, match_begin)).code_point);
      const bool word_after = match_end < end && is_word_char(decode_char(text.data() + match_end).code_point);
      if (word_before || word_after) continue;
    }
    if (token.lstrip) {
      while (match_begin > done) {
        const std::size_t previous = previous_char(text, done, match_begin);
        if (!is_white_space(decode_char(text.data() + previous).code_point)) break;
        match_begin = previous;
      }
    }
    if (token.rstrip) {
      while (match_end < end) {
        const DecodedChar character = decode_char(text.data() + match_end);
        if (!is_white_space(character.code_point)) break;
        match_end += character.length;
      }
    }
    match_begin = std::max(match_begin, done);
    if (match_end <= done) continue;
    if (match_begin > done) stretches.push_back({done, match_begin, -1});
    stretches.push_back({match_begin, match_end, token.id});
    done = match_end;
    position = std::max(position, done);
  }
  if (done < end) stretches.push_back({done, end, -1});
}

}  // namespace r1::text
