#include "report/html_text.h"

#include "base/strings.h"

namespace r1::report {

std::string html_escape(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 8);
  for (const char c : replace_invalid_utf8(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default: {
        const auto byte = static_cast<unsigned char>(c);
        const bool control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
        if (control) escaped += "\xEF\xBF\xBD";
        else escaped += c;
      }
    }
  }
  return escaped;
}

std::string script_json(const Json& value) {
  const std::string plain = to_json_line(value);
  std::string safe;
  safe.reserve(plain.size() + plain.size() / 16);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const char c = plain[i];
    if (c == '<') safe += "\\u003c";
    else if (c == '>') safe += "\\u003e";
    else if (c == '&') safe += "\\u0026";
    else if (c == '\xE2' && plain.compare(i, 2, "\xE2\x80") == 0 && i + 2 < plain.size() &&
             (plain[i + 2] == '\xA8' || plain[i + 2] == '\xA9')) {
      safe += plain[i + 2] == '\xA8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      safe += c;
    }
  }
  return safe;
}

}  // namespace r1::report
