#include "data/jsonl_dataset.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "data/json_row.h"

namespace r1::data {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::int64_t kRowsForColumns = 100;

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

class JsonlDataset final : public Dataset {
 public:
  explicit JsonlDataset(const std::string& path) : file_(path) {
    std::string_view text = file_.text();
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    std::int64_t line_number = 1;
    for (std::size_t begin = 0; begin < text.size(); ++line_number) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      const std::string_view line = text.substr(begin, end - begin);
      if (!is_blank(line)) lines_.push_back({static_cast<std::size_t>(line.data() - file_.text().data()), line.size(), line_number});
      begin = end + 1;
    }
    Xxh3Stream hash;
    hash.update(file_.text());
    hash_ = hash.hex_digest();
    collect_columns();
  }

  std::int64_t num_rows() const override { return static_cast<std::int64_t>(lines_.size()); }
  const std::vector<std::string>& column_names() const override { return columns_; }
  Json row(std::int64_t index) const override {
    const Line& line = lines_[static_cast<std::size_t>(index)];
    const std::string_view text = file_.text();
    return parse_json_row(text.substr(line.begin, line.size), text.size() - line.begin - line.size, file_.path(), line.number);
  }
  std::string where(std::int64_t index) const override {
    return fmt::format("{}:{}", file_.path(), lines_[static_cast<std::size_t>(index)].number);
  }
  const std::string& content_hash() const override { return hash_; }

 private:
  struct Line {
    std::size_t begin, size;
    std::int64_t number;
  };

  void collect_columns() {
    for (std::int64_t i = 0; i < std::min(num_rows(), kRowsForColumns); ++i) {
      const Json first_row = row(i);
      for (const auto& item : first_row.items()) {
        if (std::find(columns_.begin(), columns_.end(), item.key()) == columns_.end()) columns_.push_back(item.key());
      }
    }
  }

  MappedFile file_;
  std::vector<Line> lines_;
  std::vector<std::string> columns_;
  std::string hash_;
};

class JsonListDataset final : public Dataset {
 public:
  explicit JsonListDataset(const std::string& path) : path_(path) {
    const std::string text = read_file(path);
    Json list = parse_json(text, path, ErrorKind::kData, {.max_bytes = std::size_t{4} << 30, .max_depth = kMaxDepth});
    R1_ASSERT(list.is_array(), "a JSON data file was taken for a list");
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (!list[i].is_object()) {
        fail(ErrorKind::kData, "{}: element {} of the list: expected an object (column name to value), found {}", path, i,
             list[i].type_name());
      }
      rows_.push_back(std::move(list[i]));
      if (i >= static_cast<std::size_t>(kRowsForColumns)) continue;
      for (const auto& item : rows_.back().items()) {
        if (std::find(columns_.begin(), columns_.end(), item.key()) == columns_.end()) columns_.push_back(item.key());
      }
    }
    Xxh3Stream hash;
    hash.update(text);
    hash_ = hash.hex_digest();
  }
  std::int64_t num_rows() const override { return static_cast<std::int64_t>(rows_.size()); }
  const std::vector<std::string>& column_names() const override { return columns_; }
  Json row(std::int64_t index) const override { return rows_[static_cast<std::size_t>(index)]; }
  std::string where(std::int64_t index) const override { return fmt::format("{} row {}", path_, index); }
  const std::string& content_hash() const override { return hash_; }

 private:
  std::string path_;
  std::vector<Json> rows_;
  std::vector<std::string> columns_;
  std::string hash_;
};

}  // namespace

DatasetPtr open_jsonl(const std::string& path) { return std::make_shared<JsonlDataset>(path); }

DatasetPtr open_json(const std::string& path) {
  const MappedFile file(path);
  std::string_view text = file.text();
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '[') return std::make_shared<JsonListDataset>(path);
  return open_jsonl(path);
}

}  // namespace r1::data
