// Tokens that are looked for in the raw text, before anything else is done to it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"

namespace r1::text {

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool single_word = false, lstrip = false, rstrip = false, normalized = true, special = false;
};

/// A stretch of text: an added token, or (id -1) text between them.
struct Stretch {
  std::size_t begin, end;
  TokenId id;
};

/// Finds the tokens of one set by leftmost-longest match in linear time (times the longest token). Immutable.
class AddedTokenMatcher {
 public:
  /// patterns[i] is what tokens[i] looks like in the text that is searched.
  AddedTokenMatcher() = default;
  AddedTokenMatcher(const std::vector<AddedToken>& tokens, const std::vector<std::string>& patterns);

  bool empty() const { return tokens_.empty(); }

  /// Appends the stretches of text[begin, end) in order; empty stretches are left out.
  void split(std::string_view text, std::size_t begin, std::size_t end, std::vector<Stretch>& stretches) const;

 private:
  struct Node {
    std::vector<std::pair<unsigned char, std::uint32_t>> children;
    std::int32_t token = -1;  // index into tokens_
  };
  std::int32_t longest_match(std::string_view text, std::size_t position, std::size_t& match_end) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<std::uint32_t, 256> first_ = {};  // root's children; 0 = none
  int only_first_byte_ = -1;                   // set when all tokens begin with the same byte
};

}  // namespace r1::text
