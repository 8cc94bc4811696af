// Cuts a Jinja template into tokens, with the white-space rules of chat templates (trim_blocks, lstrip_blocks).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace r1::text {

struct TemplateToken {
  enum class Type { kData, kVariableBegin, kVariableEnd, kBlockBegin, kBlockEnd, kName, kString, kInteger, kFloat, kOperator, kEnd };
  Type type = Type::kEnd;
  std::string text;  // of strings: the value, escapes resolved
  int line = 1;
};

/// The tokens, the last one of type kEnd. Throws Error(kModel) "name:line: reason".
std::vector<TemplateToken> tokenize_template(std::string_view source, const std::string& name);

}  // namespace r1::text
