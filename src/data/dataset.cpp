#include "data/dataset.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/strings.h"

namespace r1::data {
namespace {

class RowSelection final : public Dataset {
 public:
  RowSelection(DatasetPtr source, std::vector<std::int64_t> indices) : source_(std::move(source)), indices_(std::move(indices)) {
    Xxh3Stream hash;
    hash.update(source_->content_hash());
    hash.update(indices_.data(), indices_.size() * sizeof(std::int64_t));
    hash_ = hash.hex_digest();
  }
  std::int64_t num_rows() const override { return static_cast<std::int64_t>(indices_.size()); }
  const std::vector<std::string>& column_names() const override { return source_->column_names(); }
  Json row(std::int64_t index) const override { return source_->row(indices_[static_cast<std::size_t>(index)]); }
  std::string where(std::int64_t index) const override { return source_->where(indices_[static_cast<std::size_t>(index)]); }
  const std::string& content_hash() const override { return hash_; }

 private:
  DatasetPtr source_;
  std::vector<std::int64_t> indices_;
  std::string hash_;
};

class ColumnSelection final : public Dataset {
 public:
  ColumnSelection(DatasetPtr source, std::vector<std::string> columns) : source_(std::move(source)), columns_(std::move(columns)) {
    Xxh3Stream hash;
    hash.update(source_->content_hash());
    for (const std::string& column : columns_) hash.update(column + '\n');
    hash_ = hash.hex_digest();
  }
  std::int64_t num_rows() const override { return source_->num_rows(); }
  const std::vector<std::string>& column_names() const override { return columns_; }
  Json row(std::int64_t index) const override {
    Json source_row = source_->row(index);
    Json selected = Json::object();
    for (const std::string& column : columns_) {
      if (const auto found = source_row.find(column); found != source_row.end()) selected[column] = std::move(*found);
    }
    return selected;
  }
  std::string where(std::int64_t index) const override { return source_->where(index); }
  const std::string& content_hash() const override { return hash_; }

 private:
  DatasetPtr source_;
  std::vector<std::string> columns_;
  std::string hash_;
};

class Concatenation final : public Dataset {
 public:
  explicit Concatenation(std::vector<DatasetPtr> parts) : parts_(std::move(parts)) {
    Xxh3Stream hash;
    std::int64_t end = 0;
    for (const DatasetPtr& part : parts_) {
      hash.update(part->content_hash());
      ends_.push_back(end += part->num_rows());
    }
    hash_ = hash.hex_digest();
  }
  std::int64_t num_rows() const override { return ends_.back(); }
  const std::vector<std::string>& column_names() const override { return parts_.front()->column_names(); }
  Json row(std::int64_t index) const override {
    const std::size_t part = part_of(index);
    return parts_[part]->row(index - begin_of(part));
  }
  std::string where(std::int64_t index) const override {
    const std::size_t part = part_of(index);
    return parts_[part]->where(index - begin_of(part));
  }
  const std::string& content_hash() const override { return hash_; }

 private:
  std::size_t part_of(std::int64_t index) const {
    return static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin());
  }
  std::int64_t begin_of(std::size_t part) const { return part == 0 ? 0 : ends_[part - 1]; }

  std::vector<DatasetPtr> parts_;
  std::vector<std::int64_t> ends_;
  std::string hash_;
};

std::string describe_columns(const Dataset& dataset, std::string_view wanted) {
  const auto& names = dataset.column_names();
  std::string text = fmt::format("the columns are {}", names.empty() ? "none" : join(names, ", "));
  if (const auto nearest = nearest_name(wanted, names)) text += fmt::format("; the nearest name is '{}'", *nearest);
  return text;
}

}  // namespace

bool Dataset::has_column(std::string_view name) const {
  const auto& names = column_names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

const Json& column_value(const Dataset& dataset, std::int64_t index, const Json& row, std::string_view column) {
  const auto found = row.find(std::string(column));
  if (found == row.end()) {
    fail(ErrorKind::kData, "{}: expected a column '{}', found none in this row; {}", dataset.where(index), column,
         describe_columns(dataset, column));
  }
  return *found;
}

void require_column(const Dataset& dataset, std::string_view dataset_name, std::string_view column, std::string_view purpose) {
  if (dataset.has_column(column)) return;
  fail(ErrorKind::kData, "{}: expected a column '{}' {}; {}", dataset_name, column, purpose, describe_columns(dataset, column));
}

DatasetPtr select_rows(DatasetPtr dataset, std::vector<std::int64_t> indices) {
  for (const std::int64_t index : indices) R1_ASSERT(index >= 0 && index < dataset->num_rows(), "a selected row does not exist");
  return std::make_shared<RowSelection>(std::move(dataset), std::move(indices));
}

DatasetPtr select_columns(DatasetPtr dataset, std::vector<std::string> columns, std::string_view dataset_name) {
  for (const std::string& column : columns) require_column(*dataset, dataset_name, column, "from the list of columns to keep");
  return std::make_shared<ColumnSelection>(std::move(dataset), std::move(columns));
}

DatasetPtr concatenate(std::vector<DatasetPtr> parts) {
  R1_ASSERT(!parts.empty(), "nothing to concatenate");
  return parts.size() == 1 ? parts.front() : std::make_shared<Concatenation>(std::move(parts));
}

std::vector<std::int64_t> shuffled_indices(std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  RandomStream random(seed, "shuffled rows");
  shuffle(std::span<std::int64_t>(indices), random);
  return indices;
}

}  // namespace r1::data
