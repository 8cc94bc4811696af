// Text that others wrote, made safe for the page; for the .cpp files of this folder.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace r1::report {

/// For element content and quoted attributes: & < > " ' escaped, ill-formed UTF-8 and control characters as U+FFFD.
std::string html_escape(std::string_view text);

/// JSON for the inside of a <script> element: no '<', '>' or '&' and no U+2028/2029 remain, so that nothing in a text can
/// end the element or open a comment.
std::string script_json(const Json& value);

}  // namespace r1::report
