// Hand-written scanners for the pre-tokenizer expressions of the common model families.
//
// Each appends the end offset of every piece; the pieces cover the text without gaps. They give what the regular expression
// gives when it isolates its matches; tests compare them with the generic path.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace r1::text {

/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max_digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
/// With max_digits 1 this is Qwen 2 to 3, with 3 Llama 3. base is added to every end.
void scan_words(std::string_view valid_utf8, int max_digits, std::size_t base, std::vector<std::size_t>& ends);

/// DeepSeek V3 and R1: \p{N}{1,3}, then runs of Chinese and kana, then the word expression with \p{L}\p{M}\p{P}\p{S}, each on
/// the pieces of the one before.
void scan_deepseek(std::string_view valid_utf8, std::size_t base, std::vector<std::size_t>& ends);

/// The expressions in the files' spelling.
extern const char* const kQwenExpression;
extern const char* const kLlama3Expression;
extern const char* const kDeepSeekExpressions[3];
extern const char* const kGpt2Expression;

}  // namespace r1::text
