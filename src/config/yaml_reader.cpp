#include "config/yaml_reader.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"

namespace r1::config {

namespace {

// Checks that need no parser: size, encoding, control characters.
void check_bytes(std::string_view text, std::string_view where, const YamlLimits& limits) {
  if (text.size() > limits.max_bytes) {
    fail(ErrorKind::kConfig, "{}: expected at most {} of YAML, found {}", where, format_bytes(static_cast<double>(limits.max_bytes)),
         format_bytes(static_cast<double>(text.size())));
  }
  auto line_of = [&](std::size_t offset) { return 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n'); };
  if (const auto bad = first_invalid_utf8(text)) {
    fail(ErrorKind::kConfig, "{}:{}: expected UTF-8, found the byte 0x{:02x}; save the file as UTF-8", where, line_of(*bad),
         static_cast<unsigned char>(text[*bad]));
  }
  int flow_indicators = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (std::string_view("[]{},").find(text[i]) != std::string_view::npos && ++flow_indicators > limits.max_flow_indicators) {
      fail(ErrorKind::kConfig, "{}:{}: expected at most {} brackets, braces and commas, found more", where, line_of(i),
           limits.max_flow_indicators);
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7F) {
      fail(ErrorKind::kConfig, "{}:{}: expected text, found the control character 0x{:02x}", where, line_of(i), byte);
    }
  }
}

// Finds tabs used as indentation. yaml-cpp takes some of them for a continued text, and a key would be lost without a word.
// Inside block scalars and quotes that run over several lines a tab is content.
class TabScan {
 public:
  TabScan(std::string_view where) : where_(where) {}

  void line(std::string_view text, int number) {
    const std::size_t indent = text.find_first_not_of(' ');
    if (indent == std::string_view::npos) return;
    if (in_block_ && indent > block_parent_) return;
    in_block_ = false;
    if (quote_ == 0 && text[indent] == '\t' && text.find_first_not_of(" \t\r") != std::string_view::npos) {
      fail(ErrorKind::kConfig, "{}:{}: a tab is not allowed as indentation in YAML; use spaces", where_, number);
    }
    scan_quotes(text);
    const std::string_view content = trim(without_comment(text));
    if (quote_ == 0 && ends_with_block_header(content)) {
      in_block_ = true;
      block_parent_ = indent;
    }
  }

 private:
  // Follows quotes that begin where a value can begin; the apostrophe of "don't" is no quote.
  void scan_quotes(std::string_view text) {
    comment_at_ = std::string_view::npos;
    char before = ' ';
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (quote_ == '"' && c == '\\') {
        ++i;
      } else if (quote_ != 0) {
        if (c == quote_) {
          if (quote_ == '\'' && i + 1 < text.size() && text[i + 1] == '\'') ++i;
          else quote_ = 0;
        }
      } else if ((c == '"' || c == '\'') && std::string_view(" \t[{,:").find(before) != std::string_view::npos) {
        quote_ = c;
      } else if (c == '#' && (before == ' ' || before == '\t')) {
        comment_at_ = i;
        return;
      }
      before = c;
    }
  }

  std::string_view without_comment(std::string_view text) const { return text.substr(0, comment_at_); }

  static bool ends_with_block_header(std::string_view content) {
    const std::size_t space = content.find_last_of(" \t");
    const std::string_view last = space == std::string_view::npos ? content : content.substr(space + 1);
    if (last.empty() || (last[0] != '|' && last[0] != '>')) return false;
    return last.find_first_not_of("+-123456789", 1) == std::string_view::npos;
  }

  std::string_view where_;
  char quote_ = 0;
  bool in_block_ = false;
  std::size_t block_parent_ = 0, comment_at_ = std::string_view::npos;
};

void check_tabs(std::string_view text, std::string_view where) {
  if (text.find('\t') == std::string_view::npos) return;
  TabScan scan(where);
  int number = 1;
  for (std::size_t begin = 0; begin < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    scan.line(text.substr(begin, end - begin), number);
    begin = end + 1;
  }
}

// Builds the tree from yaml-cpp's events. The parser recurses only after an event, so that the depth limit here bounds its stack;
// aliases arrive as events too and are never expanded.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view text, std::string_view where, const YamlLimits& limits) : text_(text), where_(where), limits_(limits) {}

  Value root;
  bool has_root = false;

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { leaf(mark, {}); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail(ErrorKind::kConfig, "{}:{}: aliases (*name) are not supported; write the value out", where_, mark.line + 1);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& text) override {
    check_tag(mark, tag);
    Value value = Value::scalar(text);
    value.quoted = tag != "?" && !tag.empty();
    if (value.quoted) check_closed_quote(mark);
    const bool null_word = text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
    if (!value.quoted && null_word) value = {};
    leaf(mark, std::move(value));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, tag, Value::Kind::kList);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, tag, Value::Kind::kMap);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Level {
    Value value;
    std::unordered_map<std::string, int> lines;  // of the keys so far
    bool expects_key = true;
    int key_line = 0;
  };

  void check_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?" && tag != "!") {
      fail(ErrorKind::kConfig, "{}:{}: tags are not supported, found '{}'; write the plain value", where_, mark.line + 1, tag);
    }
  }

  // yaml-cpp takes a quote that is never closed as closed by the end of the file; the keys below it would be lost.
  void check_closed_quote(const YAML::Mark& mark) const {
    const auto begin = static_cast<std::size_t>(mark.pos);
    if (begin >= text_.size() || (text_[begin] != '"' && text_[begin] != '\'')) return;
    const char quote = text_[begin];
    for (std::size_t i = begin + 1; i < text_.size(); ++i) {
      if (quote == '"' && text_[i] == '\\') ++i;
      else if (text_[i] == quote && quote == '\'' && i + 1 < text_.size() && text_[i + 1] == quote) ++i;
      else if (text_[i] == quote) return;
    }
    fail(ErrorKind::kConfig, "{}:{}: the quote {} is never closed", where_, mark.line + 1, quote);
  }

  void count(const YAML::Mark& mark) {
    if (++nodes_ > limits_.max_nodes) {
      fail(ErrorKind::kConfig, "{}:{}: expected at most {} values, found more", where_, mark.line + 1, limits_.max_nodes);
    }
  }

  void open(const YAML::Mark& mark, const std::string& tag, Value::Kind kind) {
    check_tag(mark, tag);
    count(mark);
    if (static_cast<int>(levels_.size()) >= limits_.max_depth) {
      fail(ErrorKind::kConfig, "{}:{}: expected at most {} levels of nesting, found more", where_, mark.line + 1, limits_.max_depth);
    }
    if (!levels_.empty() && levels_.back().value.is_map() && levels_.back().expects_key) {
      fail(ErrorKind::kConfig, "{}:{}: expected a text as key, found a {}", where_, mark.line + 1,
           kind == Value::Kind::kMap ? "map" : "list");
    }
    Level level;
    level.value.kind = kind;
    level.value.line = mark.line + 1;
    levels_.push_back(std::move(level));
  }

  void close() {
    Value value = std::move(levels_.back().value);
    levels_.pop_back();
    attach(std::move(value));
  }

  void leaf(const YAML::Mark& mark, Value value) {
    count(mark);
    value.line = mark.line + 1;
    if (!levels_.empty() && levels_.back().value.is_map() && levels_.back().expects_key) {
      take_key(mark, value);
      return;
    }
    attach(std::move(value));
  }

  void take_key(const YAML::Mark& mark, const Value& key) {
    Level& level = levels_.back();
    if (!key.is_scalar()) fail(ErrorKind::kConfig, "{}:{}: expected a key before ':', found nothing", where_, mark.line + 1);
    if (key.text == "<<" && !key.quoted) {
      fail(ErrorKind::kConfig, "{}:{}: merge keys (<<) are not supported; write the entries out", where_, mark.line + 1);
    }
    const auto [first, is_new] = level.lines.emplace(key.text, mark.line + 1);
    if (!is_new) {
      fail(ErrorKind::kConfig, "{}:{}: duplicate key '{}', first given in line {}; remove one", where_, mark.line + 1, key.text,
           first->second);
    }
    level.value.keys.push_back(key.text);
    level.key_line = mark.line + 1;
    level.expects_key = false;
  }

  void attach(Value value) {
    if (levels_.empty()) {
      root = std::move(value);
      has_root = true;
      return;
    }
    Level& level = levels_.back();
    if (level.value.is_map()) {
      value.line = level.key_line;
      level.expects_key = true;
    }
    level.value.items.push_back(std::move(value));
  }

  std::string_view text_, where_;
  const YamlLimits& limits_;
  std::vector<Level> levels_;
  int nodes_ = 0;
};

}  // namespace

Value parse_yaml(std::string_view text, std::string_view where, YamlLimits limits) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  check_bytes(text, where, limits);
  check_tabs(text, where);

  TreeBuilder builder(text, where, limits);
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return {};
    TreeBuilder second(text, where, limits);
    if (parser.HandleNextDocument(second)) {
      fail(ErrorKind::kConfig, "{}: expected one YAML document, found a second one (a line '---'); remove it", where);
    }
  } catch (const YAML::Exception& error) {
    const int line = error.mark.is_null() ? 0 : error.mark.line + 1;
    fail(ErrorKind::kConfig, "{}:{}: expected valid YAML, found: {}", where, line, error.msg);
  }
  return std::move(builder.root);
}

Value read_yaml_file(const std::string& path, YamlLimits limits) {
  std::error_code no_file;
  if (!std::filesystem::exists(path, no_file)) fail(ErrorKind::kConfig, "{}: expected a YAML file, found none there", path);
  if (std::filesystem::is_directory(path, no_file)) fail(ErrorKind::kConfig, "{}: expected a YAML file, found a folder", path);
  const std::uintmax_t size = std::filesystem::file_size(path, no_file);
  if (!no_file && size > limits.max_bytes) {
    fail(ErrorKind::kConfig, "{}: expected at most {} of YAML, found {}", path, format_bytes(static_cast<double>(limits.max_bytes)),
         format_bytes(static_cast<double>(size)));
  }
  return parse_yaml(read_file(path, ErrorKind::kConfig), path, limits);
}

std::vector<Assignment> assignments_of(const Value& document, const std::string& path) {
  std::vector<Assignment> assignments;
  if (document.is_null()) return assignments;
  if (!document.is_map()) fail(ErrorKind::kConfig, "{}:{}: expected 'key: value' lines, found {}", path, document.line, describe(document));
  for (std::size_t i = 0; i < document.keys.size(); ++i) {
    assignments.push_back({.key = document.keys[i],
                           .value = document.items[i],
                           .source = Source::kFile,
                           .where = fmt::format("{}:{}", path, document.items[i].line)});
  }
  return assignments;
}

}  // namespace r1::config
