// \frac12, \sqrt3, x^(2), \log_28, sqrt(2): what writers leave out, put back in.
#include <string>
#include <string_view>

#include "base/strings.h"
#include "verify/normalise.h"
#include "verify/text_scan.h"

namespace r1::verify {

namespace {

std::size_t skip_one_space(std::string_view text, std::size_t position) { return position + space_length(text, position); }

bool digit_at(std::string_view text, std::size_t position) { return position < text.size() && is_ascii_digit(text[position]); }

/// name(…) → replacement{…}, up to the first closing parenthesis.
std::string braces_for_parentheses(std::string_view text, std::string_view name, std::string_view replacement) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with(name)) {
      const std::size_t open = skip_one_space(text, i + name.size());
      if (open < text.size() && text[open] == '(') {
        const std::size_t close = text.find(')', open);
        if (close == std::string_view::npos) return result + std::string(text.substr(i));
        result += std::string(replacement) + "{" + std::string(text.substr(open + 1, close - open - 1)) + "}";
        i = close + 1;
        continue;
      }
    }
    result.push_back(text[i++]);
  }
  return result;
}

/// name d dd… → name{d}{dd…}: one digit, then all that follow.
std::string braces_for_digits(std::string_view text, std::string_view name) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with(name)) {
      const std::size_t first = skip_one_space(text, i + name.size());
      const std::size_t second = digit_at(text, first) ? skip_one_space(text, first + 1) : text.size();
      if (digit_at(text, second)) {
        std::size_t end = second;
        while (digit_at(text, end)) ++end;
        result += std::string(name) + "{" + text[first] + "}{" + std::string(text.substr(second, end - second)) + "}";
        i = end;
        continue;
      }
    }
    result.push_back(text[i++]);
  }
  return result;
}

/// \frac{…}d → \frac{…}{d}, where … runs to the first brace that a digit follows.
std::string braces_for_digit_denominator(std::string_view text) {
  constexpr std::string_view kName = "\\frac";
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with(kName)) {
      const std::size_t open = skip_one_space(text, i + kName.size());
      std::size_t close = open < text.size() && text[open] == '{' ? text.find('}', open) : std::string_view::npos;
      while (close != std::string_view::npos && !digit_at(text, skip_one_space(text, close + 1))) close = text.find('}', close + 1);
      if (close != std::string_view::npos) {
        const std::size_t digit = skip_one_space(text, close + 1);
        result += "\\frac{" + std::string(text.substr(open + 1, close - open - 1)) + "}{" + text[digit] + "}";
        i = digit + 1;
        continue;
      }
      if (open < text.size() && text[open] == '{') return result + std::string(text.substr(i));  // no later one can match either
    }
    result.push_back(text[i++]);
  }
  return result;
}

/// \frac d{…} → \frac{d}{…}
std::string braces_for_digit_numerator(std::string_view text) {
  constexpr std::string_view kName = "\\frac";
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with(kName)) {
      const std::size_t digit = skip_one_space(text, i + kName.size());
      const std::size_t open = digit_at(text, digit) ? skip_one_space(text, digit + 1) : text.size();
      const std::size_t close = open < text.size() && text[open] == '{' ? text.find('}', open) : std::string_view::npos;
      if (close != std::string_view::npos) {
        result += std::string("\\frac{") + text[digit] + "}{" + std::string(text.substr(open + 1, close - open - 1)) + "}";
        i = close + 1;
        continue;
      }
    }
    result.push_back(text[i++]);
  }
  return result;
}

std::string character_at(std::string_view text, std::size_t position) {
  return std::string(text.substr(position, code_point_length(text, position)));
}

/// Whatever single character stands behind \sqrt is the radicand.
std::string braces_for_roots(std::string_view text) {
  constexpr std::string_view kName = "\\sqrt";
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (!text.substr(i).starts_with(kName)) {
      result.push_back(text[i++]);
      continue;
    }
    result += kName;
    i = skip_spaces(text, i + kName.size());
    if (i < text.size() && text[i] != '{' && text[i] != '[' && !text.substr(i).starts_with(kName)) {
      const std::string radicand = character_at(text, i);
      result += "{" + radicand + "}";
      i += radicand.size();
    }
  }
  return result;
}

/// The two characters behind \frac are numerator and denominator; a fraction that ends too early leaves everything as it was.
std::string braces_for_fractions(std::string_view text) {
  constexpr std::string_view kName = "\\frac";
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (!text.substr(i).starts_with(kName)) {
      result.push_back(text[i++]);
      continue;
    }
    result += kName;
    i = skip_spaces(text, i + kName.size());
    const std::size_t next = text.find(kName, i);
    const std::string_view piece = text.substr(i, next == std::string_view::npos ? next : next - i);
    if (piece.starts_with('{')) continue;
    const std::size_t first = code_point_length(piece, 0), second = code_point_length(piece, first);
    if (first == 0 || second == 0) return std::string(text);
    result += "{" + std::string(piece.substr(0, first)) + "}";
    i += first;
    if (piece[first] != '{') {
      result += "{" + std::string(piece.substr(first, second)) + "}";
      i += second;
    }
  }
  return result;
}

/// Exactly "a/b" with integers in their shortest form.
std::string fraction_for_slash(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos || text.find('/', slash + 1) != std::string::npos) return text;
  const auto is_plain_integer = [](std::string_view part) {
    if (part.starts_with('-')) {
      part.remove_prefix(1);
      if (part == "0") return false;
    }
    if (part.empty() || (part.size() > 1 && part.front() == '0')) return false;
    for (const char c : part)
      if (!is_ascii_digit(c)) return false;
    return true;
  };
  const std::string numerator = text.substr(0, slash), denominator = text.substr(slash + 1);
  if (!is_plain_integer(numerator) || !is_plain_integer(denominator)) return text;
  return "\\frac{" + numerator + "}{" + denominator + "}";
}

std::string braces_for_digit_root(std::string_view text) {
  constexpr std::string_view kName = "\\sqrt";
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t digit = text.substr(i).starts_with(kName) ? skip_one_space(text, i + kName.size()) : text.size();
    if (digit_at(text, digit)) {
      result += std::string(kName) + "{" + text[digit] + "}";
      i = digit + 1;
    } else {
      result.push_back(text[i++]);
    }
  }
  return result;
}

}  // namespace

std::string fix_malformed_operators(std::string text) {
  text = braces_for_parentheses(text, "^", "^");
  text = braces_for_parentheses(text, "sqrt", "\\sqrt");
  text = braces_for_digits(text, "\\frac");
  text = braces_for_digits(text, "\\log_");
  text = braces_for_digit_denominator(text);
  text = braces_for_digit_numerator(text);
  text = braces_for_digit_root(text);
  text = replace_all(std::move(text), " sqrt", "\\sqrt");
  text = braces_for_roots(text);
  text = braces_for_fractions(text);
  return fraction_for_slash(text);
}

}  // namespace r1::verify
