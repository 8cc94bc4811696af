#include "text/normalizer.h"

#include "base/strings.h"

namespace r1::text {
namespace {

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

/// The changed text, or false when it stays as it is.
bool change(const NormalizerStep& step, std::string_view text, bool at_start, std::string& out) {
  return std::visit(Overloaded{
                        [&](const UnicodeStep& s) {
                          if (s.form == NormalizationForm::kNfc && is_surely_nfc(text)) return false;
                          out = normalize(text, s.form);
                          return true;
                        },
                        [&](const LowercaseStep&) {
                          out = to_lower(text);
                          return true;
                        },
                        [&](const PrependStep& s) {
                          if (text.empty()) return false;
                          out = s.prefix;
                          out += text;
                          return true;
                        },
                        [&](const ReplaceStep& s) {
                          if (s.from.empty() || text.find(s.from) == std::string_view::npos) return false;
                          out = replace_all(std::string(text), s.from, s.to);
                          return true;
                        },
                        [&](const RegexReplaceStep& s) {
                          out.clear();
                          std::size_t done = 0;
                          for (const auto& [begin, end] : s.expression.find_all(text)) {
                            out.append(text.substr(done, begin - done));
                            out += s.to;
                            done = end;
                          }
                          out.append(text.substr(done));
                          return true;
                        },
                        [&](const StripStep& s) {
                          std::size_t begin = 0, end = 0;  // of what lies between the outermost other characters
                          bool seen_other = false;
                          for (std::size_t position = 0; position < text.size();) {
                            const std::size_t at = position;
                            if ((char_classes(next_code_point(text, position)) & kWhiteSpace) != 0) continue;
                            if (!seen_other) begin = at;
                            seen_other = true;
                            end = position;
                          }
                          if (!seen_other) {
                            out.clear();
                            return true;
                          }
                          if (!s.left) begin = 0;
                          if (!s.right) end = text.size();
                          out = text.substr(begin, end - begin);
                          return true;
                        },
                        [&](const PrefixUnlessThereStep& s) {
                          if (text.empty() || text.starts_with(s.prefix) || (s.only_first && !at_start)) return false;
                          out = s.prefix;
                          out += text;
                          return true;
                        },
                    },
                    step);
}

}  // namespace

std::string_view Normalizer::apply(std::string_view text, bool at_start, std::string& buffer) const {
  std::string_view current = text;
  std::string next;
  for (const NormalizerStep& step : steps_) {
    if (!change(step, current, at_start, next)) continue;
    buffer.swap(next);
    current = buffer;
  }
  return current;
}

}  // namespace r1::text
