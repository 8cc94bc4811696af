#include "data/dataset_card.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"

namespace r1::data {
namespace {

namespace fs = std::filesystem;

/// "  - key: value" taken apart; a dash counts two columns, so that key and further keys of the item share their indent.
struct CardLine {
  std::int64_t number = 0;
  std::size_t indent = 0;  // of the key or value behind the dash
  bool dash = false;
  std::string key, value;  // key is empty for a plain list item
};

std::string unquoted(std::string_view text) {
  text = trim(text);
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front();
  return std::string(quoted ? text.substr(1, text.size() - 2) : text);
}

CardLine parse_line(std::string_view line, std::int64_t number) {
  CardLine parsed;
  parsed.number = number;
  parsed.indent = line.find_first_not_of(' ');
  line = trim(line);
  if (line == "-" || line.starts_with("- ")) {
    parsed.dash = true;
    parsed.indent += 2;
    line = trim(line.substr(1));
  }
  const std::size_t colon = line.find(':');
  const bool is_key = colon != std::string_view::npos && (colon + 1 == line.size() || line[colon + 1] == ' ') && line.front() != '"' &&
                      line.front() != '\'';
  if (is_key) {
    parsed.key = unquoted(line.substr(0, colon));
    parsed.value = unquoted(line.substr(colon + 1));
  } else {
    parsed.value = unquoted(line);
  }
  return parsed;
}

// The lines below "configs:" up to the next key at the left border.
std::vector<CardLine> configs_lines(std::string_view text) {
  std::vector<CardLine> lines;
  bool inside = false;
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (number == 1) {
      if (line != "---") return {};
      continue;
    }
    if (line == "---") break;
    if (trim(line).empty() || trim(line).front() == '#') continue;
    const bool at_border = line.front() != ' ' && line.front() != '-';
    if (at_border) inside = trim(line) == "configs:";
    else if (inside) lines.push_back(parse_line(line, number));
  }
  return lines;
}

void add_pattern(DatasetCard::Configuration& configuration, const std::string& split, const std::string& pattern, const std::string& path,
                 std::int64_t number) {
  if (pattern.empty() || pattern.front() == '/' || pattern.find("..") != std::string::npos || pattern.find("://") != std::string::npos) {
    fail(ErrorKind::kData, "{}:{}: expected a file pattern inside the folder, found '{}'", path, number, pattern);
  }
  configuration.patterns[split].push_back(pattern);
}

}  // namespace

std::optional<DatasetCard> read_dataset_card(const std::string& folder) {
  const std::string path = (fs::path(folder) / "README.md").string();
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  const MappedFile file(path);
  DatasetCard card;
  std::string split = "train", open_key;  // the key whose list of values may follow
  const auto lines = configs_lines(file.text());
  for (const CardLine& line : lines) {
    if (line.dash && line.indent == lines.front().indent) {
      card.configurations.emplace_back();
      split = "train";
      open_key.clear();
    }
    if (card.configurations.empty()) fail(ErrorKind::kData, "{}:{}: configs: expected a list of configurations", path, line.number);
    DatasetCard::Configuration& configuration = card.configurations.back();
    if (line.key == "config_name") {
      configuration.name = line.value;
    } else if (line.key == "default") {
      configuration.is_default = line.value == "true";
    } else if (line.key == "split") {
      split = line.value;
    } else if (line.key == "path" || line.key == "data_files") {
      open_key = line.key;
      if (!line.value.empty()) add_pattern(configuration, split, line.value, path, line.number);
      continue;
    } else if (line.key.empty() && line.dash && !open_key.empty()) {
      add_pattern(configuration, split, line.value, path, line.number);
      continue;
    } else if (line.key.empty()) {
      fail(ErrorKind::kData, "{}:{}: configs: expected 'key: value', found '{}'", path, line.number, line.value);
    }
    if (line.key != "split") open_key.clear();
  }
  std::erase_if(card.configurations, [](const DatasetCard::Configuration& configuration) { return configuration.patterns.empty(); });
  if (card.configurations.empty()) return std::nullopt;
  return card;
}

}  // namespace r1::data
