// From template text to its parsed form.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text/template_ast.h"

namespace r1::text {

/// Parses a Jinja template as transformers' chat templates use it (trim_blocks, lstrip_blocks, loop controls, generation
/// blocks). Throws Error(kModel) "name:line: reason" for a syntax error, for an unknown filter or test, for include, import,
/// extends and block, and for nesting over the limit.
std::shared_ptr<const ParsedTemplate> parse_template(std::string_view source, const std::string& name);

}  // namespace r1::text
