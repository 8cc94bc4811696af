#include "data/csv_dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/strings.h"

namespace r1::data {
namespace {

struct CsvField {
  std::string text;
  bool quoted = false;
};

/// Walks over the records of a text; positions are byte offsets, lines are counted for messages.
class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& path, std::size_t position = 0, std::int64_t line = 1)
      : text_(text), path_(path), position_(position), line_(line) {}

  /// False at the end. Records without any character are skipped.
  bool next(std::vector<CsvField>& record) {
    while (position_ < text_.size() && (text_[position_] == '\n' || text_[position_] == '\r')) {
      if (text_[position_] == '\n') ++line_;
      ++position_;
    }
    record.clear();
    if (position_ >= text_.size()) return false;
    record_begin_ = position_;
    record_line_ = line_;
    while (true) {
      record.push_back(read_field());
      if (position_ >= text_.size()) return true;
      const char separator = text_[position_++];
      if (separator == ',') {
        if (position_ >= text_.size()) {
          record.emplace_back();
          return true;
        }
        continue;
      }
      if (separator == '\r' && position_ < text_.size() && text_[position_] == '\n') ++position_;
      ++line_;
      return true;
    }
  }

  std::size_t record_begin() const { return record_begin_; }
  std::int64_t record_line() const { return record_line_; }

 private:
  CsvField read_field() {
    CsvField field;
    if (position_ < text_.size() && text_[position_] == '"') {
      field.quoted = true;
      const std::int64_t opened = line_;
      ++position_;
      while (true) {
        const std::size_t quote = text_.find('"', position_);
        if (quote == std::string_view::npos)
          fail(ErrorKind::kData, "{}:{}: a quoted field that begins here is never closed", path_, opened);
        const std::string_view piece = text_.substr(position_, quote - position_);
        line_ += std::count(piece.begin(), piece.end(), '\n');
        field.text += piece;
        position_ = quote + 1;
        if (position_ >= text_.size() || text_[position_] != '"') break;
        field.text += '"';
        ++position_;
      }
      if (position_ < text_.size() && text_[position_] != ',' && text_[position_] != '\n' && text_[position_] != '\r') {
        fail(ErrorKind::kData, "{}:{}: expected a comma or the end of the line behind a closing quote, found '{}'", path_, line_,
             text_[position_]);
      }
      return field;
    }
    const std::size_t end = std::min(text_.find_first_of(",\r\n", position_), text_.size());
    field.text = text_.substr(position_, end - position_);
    position_ = end;
    return field;
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t position_, record_begin_ = 0;
  std::int64_t line_, record_line_ = 1;
};

enum class CsvType { kInteger, kNumber, kText };

// 025 and +1 stay texts: an answer with leading zeros must not lose them.
bool is_canonical_integer(const std::string& text) {
  const auto value = parse_int(text);
  return value && std::to_string(*value) == text;
}

CsvType narrowest_type(const std::string& text) {
  if (is_canonical_integer(text)) return CsvType::kInteger;
  const bool numeric_shape = text.find_first_not_of("0123456789+-.eE") == std::string::npos;
  const bool leading_zero = text.size() > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9';
  const auto value = numeric_shape && !leading_zero && text[0] != '+' ? parse_double(text) : std::nullopt;
  return value && std::isfinite(*value) && !parse_int(text) ? CsvType::kNumber : CsvType::kText;
}

class CsvDataset final : public Dataset {
 public:
  explicit CsvDataset(const std::string& path) : file_(path) {
    if (const auto invalid = first_invalid_utf8(file_.text())) {
      const std::int64_t line = 1 + std::count(file_.text().begin(), file_.text().begin() + static_cast<std::ptrdiff_t>(*invalid), '\n');
      fail(ErrorKind::kData, "{}:{}: invalid UTF-8 (byte 0x{:02X}); save the file as UTF-8", path, line,
           static_cast<unsigned char>(file_.text()[*invalid]));
    }
    CsvReader reader(file_.text(), file_.path(), file_.text().starts_with("\xEF\xBB\xBF") ? 3 : 0);
    std::vector<CsvField> record;
    if (!reader.next(record)) fail(ErrorKind::kData, "{}: expected a first line with the column names, found an empty file", path);
    for (const CsvField& field : record) {
      if (std::find(columns_.begin(), columns_.end(), field.text) != columns_.end()) {
        fail(ErrorKind::kData, "{}:{}: the column name '{}' stands twice", path, reader.record_line(), field.text);
      }
      columns_.push_back(field.text);
    }
    types_.assign(columns_.size(), CsvType::kInteger);
    while (reader.next(record)) {
      if (record.size() != columns_.size()) {
        fail(ErrorKind::kData, "{}:{}: expected {} fields ({}), found {}", path, reader.record_line(), columns_.size(),
             join(columns_, ", "), record.size());
      }
      records_.push_back({reader.record_begin(), reader.record_line()});
      for (std::size_t i = 0; i < record.size(); ++i) widen(i, record[i]);
    }
    Xxh3Stream hash;
    hash.update(file_.text());
    hash_ = hash.hex_digest();
  }

  std::int64_t num_rows() const override { return static_cast<std::int64_t>(records_.size()); }
  const std::vector<std::string>& column_names() const override { return columns_; }
  Json row(std::int64_t index) const override {
    const Record& place = records_[static_cast<std::size_t>(index)];
    CsvReader reader(file_.text(), file_.path(), place.begin, place.line);
    std::vector<CsvField> record;
    reader.next(record);
    Json row = Json::object();
    for (std::size_t i = 0; i < columns_.size(); ++i) row[columns_[i]] = to_json(record[i], types_[i]);
    return row;
  }
  std::string where(std::int64_t index) const override {
    return fmt::format("{}:{}", file_.path(), records_[static_cast<std::size_t>(index)].line);
  }
  const std::string& content_hash() const override { return hash_; }

 private:
  struct Record {
    std::size_t begin;
    std::int64_t line;
  };

  void widen(std::size_t column, const CsvField& field) {
    if (types_[column] == CsvType::kText || (field.text.empty() && !field.quoted)) return;
    types_[column] = std::max(types_[column], field.quoted ? CsvType::kText : narrowest_type(field.text));
  }

  static Json to_json(const CsvField& field, CsvType type) {
    if (field.text.empty() && !field.quoted) return nullptr;
    if (type == CsvType::kInteger) return *parse_int(field.text);
    if (type == CsvType::kNumber) return *parse_double(field.text);
    return field.text;
  }

  MappedFile file_;
  std::vector<std::string> columns_;
  std::vector<CsvType> types_;
  std::vector<Record> records_;
  std::string hash_;
};

}  // namespace

DatasetPtr open_csv(const std::string& path) { return std::make_shared<CsvDataset>(path); }

}  // namespace r1::data
