#include "verify/normalise.h"

#include <optional>
#include <vector>

#include "base/strings.h"
#include "verify/budget.h"
#include "verify/text_scan.h"

namespace r1::verify {
namespace {

/// A match at a position: how many bytes it takes and what stands there afterwards.
struct Replacement {
  std::size_t length;
  std::string_view text;
};
using Rule = std::optional<Replacement> (*)(std::string_view text, std::size_t position);

/// One pass from left to right: the first rule that matches at a position replaces, and the pass goes on behind it.
template <typename Rules>
std::string rewrite(std::string_view text, const Rules& rules) {
  std::string result;
  result.reserve(text.size() + 16);
  for (std::size_t position = 0; position < text.size();) {
    std::optional<Replacement> found;
    for (const Rule rule : rules)
      if ((found = rule(text, position))) break;
    if (found && found->length > 0) {
      result += found->text;
      position += found->length;
    } else {
      result.push_back(text[position++]);
    }
  }
  return result;
}

std::size_t literal_at(std::string_view text, std::size_t position, std::initializer_list<std::string_view> literals) {
  for (const std::string_view literal : literals)
    if (text.substr(position).starts_with(literal)) return literal.size();
  return 0;
}

bool letter_before(std::string_view text, std::size_t position) { return position > 0 && is_ascii_letter(text[position - 1]); }

// ---- sizes of brackets -------------------------------------------------------------------------------------------------

std::optional<Replacement> bracket_size(std::string_view text, std::size_t position, std::string_view side, std::string_view letters) {
  std::size_t after = literal_at(text, position, {side, letters});
  if (after == 0) return std::nullopt;
  const std::string_view rest = text.substr(position + after);
  static constexpr std::string_view kLeft[] = {"\\{",      "{",        "\\|",      "|",          "[",         "(",
                                               "\\rbracl", "\\lgroup", "\\lbrace", "\\lbrack",   "\\vert",    "\\lvert",
                                               "\\lceil",  "\\lfloor", "\\langle", "\\llcorner", "\\ulcorner"};
  static constexpr std::string_view kRight[] = {"\\}",      "}",        "\\|",        "|",         "]",       ")",
                                                "\\rbrack", "\\rgroup", "\\rbrace",   "\\vert",    "\\rvert", "\\rceil",
                                                "\\rfloor", "\\rangle", "\\lrcorner", "\\urcorner"};
  const bool left = side == "\\left";
  const std::string_view* const begin = left ? std::begin(kLeft) : std::begin(kRight);
  const std::string_view* const end = left ? std::end(kLeft) : std::end(kRight);
  for (const std::string_view* bracket = begin; bracket != end; ++bracket)
    if (rest.starts_with(*bracket)) return Replacement{after + bracket->size(), text.substr(position + after, bracket->size())};
  return std::nullopt;
}
std::optional<Replacement> left_bracket(std::string_view text, std::size_t position) {
  return bracket_size(text, position, "\\left", "\\mleft");
}
std::optional<Replacement> right_bracket(std::string_view text, std::size_t position) {
  return bracket_size(text, position, "\\right", "\\mright");
}

// ---- decoration that goes --------------------------------------------------------------------------------------------

std::optional<Replacement> decoration(std::string_view text, std::size_t position) {
  const char c = text[position];
  if (c == '\\') {
    if (const std::size_t length = literal_at(text, position, {"\\mathrm{th}", "\\displaystyle", "\\$"});
        length > 0 && text[position + 1] != '!')
      return Replacement{length, ""};
    if (text.substr(position).starts_with("\\!")) return Replacement{skip_spaces(text, position + 2) - position, ""};
    if (text.substr(position).starts_with("\\text")) {
      std::size_t end = skip_spaces(text, position + 5);
      if (end < text.size() && text[end] == '{') {
        end = skip_spaces(text, end + 1);
        if (end < text.size() && text[end] == '}') return Replacement{end + 1 - position, ""};
      }
    }
  }
  if (c == '$') return Replacement{1, ""};
  if ((c == '"' || c == '\'') && (position == 0 || text[position - 1] != '\\')) return Replacement{1, ""};
  return std::nullopt;
}

// ---- words and spellings ---------------------------------------------------------------------------------------------

std::optional<Replacement> text_command(std::string_view text, std::size_t position) {
  if (const std::size_t length =
          literal_at(text, position, {"\\mathrm", "\\mathit", "\\mathbf", "\\textnormal", "\\textbf", "\\textit", "\\textrm"}))
    return Replacement{length, "\\text"};
  if (const std::size_t length = literal_at(text, position, {"\\dfrac", "\\tfrac", "\\cfrac"})) return Replacement{length, "\\frac"};
  return std::nullopt;
}

std::optional<Replacement> leading_point(std::string_view text, std::size_t position) {
  if (const std::size_t space = space_length(text, position); space > 0 && text.substr(position + space).starts_with("."))
    return Replacement{space + 1, " 0."};
  if (text.substr(position).starts_with("{.")) return Replacement{2, "{0."};
  if (text.substr(position).starts_with("~=")) return Replacement{2, "\\approx"};
  return std::nullopt;
}

std::optional<Replacement> comma_in_braces(std::string_view text, std::size_t position) {
  const std::size_t open = skip_spaces(text, position);
  if (open >= text.size() || text[open] != '{') return std::nullopt;
  const std::size_t comma = skip_spaces(text, open + 1);
  if (comma >= text.size() || text[comma] != ',') return std::nullopt;
  const std::size_t close = skip_spaces(text, comma + 1);
  if (close >= text.size() || text[close] != '}') return std::nullopt;
  return Replacement{close + 1 - position, ","};
}

std::optional<Replacement> and_or(std::string_view text, std::size_t position) {
  std::size_t word = position;
  if (text[word] == ',') ++word;
  word = skip_spaces(text, word);
  if (const std::size_t length = literal_at(text, word, {"and", "or"}); length > 0 && !letter_before(text, position)) {
    const std::size_t end = word + length;
    if (end >= text.size() || !is_ascii_letter(text[end])) return Replacement{end - position, ","};
  }
  if (text.substr(word).starts_with("\\text{")) {
    const std::size_t inner = skip_spaces(text, word + 6);
    const std::size_t length = inner <= text.size() ? literal_at(text, inner, {"and", "or"}) : 0;
    const std::size_t close = skip_spaces(text, inner + length);
    if (length > 0 && close < text.size() && text[close] == '}') return Replacement{close + 1 - position, ","};
  }
  return std::nullopt;
}

std::optional<Replacement> escaped_blank(std::string_view text, std::size_t position) {
  if (text[position] != '\\' || (position > 0 && text[position - 1] == '\\')) return std::nullopt;
  const std::size_t space = space_length(text, position + 1);
  return space > 0 ? std::optional(Replacement{1 + space, " "}) : std::nullopt;
}

std::optional<Replacement> infinity_and_dots(std::string_view text, std::size_t position) {
  if (text.substr(position).starts_with("infinity")) return Replacement{8, "\\infty"};
  if (const std::size_t length = literal_at(text, position, {",\\ldots", "\\ldots"})) return Replacement{length, " "};
  return std::nullopt;
}

std::optional<Replacement> percent_word(std::string_view text, std::size_t position) {
  const std::size_t word = skip_spaces(text, position);
  for (const std::string_view name : {std::string_view("percentage"), std::string_view("percent"), std::string_view("pct")}) {
    if (text.substr(word).starts_with(name) && !is_word_before(text, word) && !is_word_at(text, word + name.size()))
      return Replacement{word + name.size() - position, "\\%"};
  }
  if (const std::size_t length = literal_at(text, position, {"\\text{percentage}", "\\text{percent}", "\\text{pct}"}))
    return Replacement{length, "%"};
  return std::nullopt;
}

std::optional<Replacement> short_infinity_and_root(std::string_view text, std::size_t position) {
  if (text.substr(position).starts_with("inf") && (position == 0 || text[position - 1] != '\\') &&
      !text.substr(position + 3).starts_with("inity"))
    return Replacement{3, "\\infty"};
  if (text.substr(position).starts_with(" sqrt")) return Replacement{5, "\\sqrt"};
  return std::nullopt;
}

/// (a)_{b}, the falling factorial, as a quotient of factorials. Both parts are letters, digits, signs and blanks.
std::string expand_permutations(std::string_view text) {
  const auto allowed = [](char c) {
    return is_ascii_letter(c) || is_ascii_digit(c) || c == '+' || c == '-' || c == '*' || c == '/' || c == '\\' || c == ' ';
  };
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '(') {
      std::size_t close = i + 1;
      while (close < text.size() && allowed(text[close])) ++close;
      if (close > i + 1 && text.substr(close).starts_with(")_{")) {
        std::size_t end = close + 3;
        while (end < text.size() && allowed(text[end])) ++end;
        if (end > close + 3 && end < text.size() && text[end] == '}') {
          const std::string upper(text.substr(i + 1, close - i - 1)), lower(text.substr(close + 3, end - close - 3));
          result += "\\frac{(" + upper + ")!}{((" + upper + ")-(" + lower + "))!}";
          i = end + 1;
          continue;
        }
      }
    }
    result.push_back(text[i++]);
  }
  return result;
}

std::string join_doubled_backslashes(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with("\\\\") && i + 2 < text.size() && is_ascii_letter(text[i + 2])) {
      result.push_back('\\');
      i += 2;
    } else {
      result.push_back(text[i++]);
    }
  }
  return result;
}

int longest_blank_run(std::string_view text) {
  int longest = 0, current = 0;
  for (const char c : text) {
    current = c == ' ' || (c >= 0x09 && c <= 0x1F) || static_cast<unsigned char>(c) >= 0x80 ? current + 1 : 0;
    if (current > longest) longest = current;
  }
  return longest;
}

std::string basic_latex(std::string text) {
  text = replace_all(std::move(text), "\\mathrm{T}", "T");
  text = replace_all(std::move(text), "\\mathrm{d}", "d");
  text = replace_all(std::move(text), "{\\rm d}", "d");
  text = replace_all(std::move(text), "\\left[\\begin{matrix}", "\\begin{bmatrix}");
  text = replace_all(std::move(text), "\\end{matrix}\\right]", "\\end{bmatrix}");
  text = rewrite(text, std::initializer_list<Rule>{left_bracket});
  text = rewrite(text, std::initializer_list<Rule>{right_bracket});
  text = expand_permutations(text);
  text = rewrite(text, std::initializer_list<Rule>{decoration});
  text = rewrite(text, std::initializer_list<Rule>{text_command, leading_point, comma_in_braces, and_or, escaped_blank, infinity_and_dots,
                                                   percent_word, short_infinity_and_root});
  for (char& c : text)
    if (c == '\n' || c == '\t') c = ' ';
  return text.find("matrix") == std::string::npos ? join_doubled_backslashes(text) : text;
}

}  // namespace

std::string_view last_equation_part(std::string_view text) {
  if (text.find_first_of(",;") != std::string_view::npos) return text;
  int num_signs = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '=') continue;
    const char before = i > 0 ? text[i - 1] : ' ';
    if (before == '\\' || before == '<' || before == '!' || before == '>') continue;
    ++num_signs;
    last = i + 1;
  }
  return num_signs >= 2 ? text.substr(last) : text;
}

std::string normalise_latex(std::string_view text, const NormaliseOptions& options) {
  std::string result = open_boxes(text, options.boxes);
  if (result.size() > static_cast<std::size_t>(kMaxTextBytes)) throw OverBudget{};
  if (longest_blank_run(result) > kMaxBlankRun) throw OverBudget{};
  result = basic_latex(std::move(result));
  if (options.last_equation) result = std::string(last_equation_part(result));
  result = drop_units(std::move(result), options.strict);
  if (options.nits) {
    if (result.starts_with('.')) result.insert(result.begin(), '0');
    if (result == "0.5") result = "\\frac{1}{2}";
  }
  if (options.malformed_operators) result = fix_malformed_operators(std::move(result));
  return std::string(strip_spaces(result));
}

}  // namespace r1::verify
