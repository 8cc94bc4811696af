#include "data/parquet_dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <mutex>

#include "base/hash.h"
#include "base/json.h"
#include "data/json_row.h"
#include "io/parquet_file.h"

namespace r1::data {
namespace {

constexpr std::size_t kMaxCachedBytes = std::size_t{512} << 20;

class ParquetDataset final : public Dataset {
 public:
  explicit ParquetDataset(const std::string& path) : path_(path), file_(path) {
    std::int64_t end = 0;
    for (std::int64_t group = 0; group < file_.num_row_groups(); ++group) group_ends_.push_back(end += file_.row_group_rows(group));
    Xxh3Stream hash;
    hash.update(file_.bytes());
    hash_ = hash.hex_digest();
  }

  std::int64_t num_rows() const override { return group_ends_.empty() ? 0 : group_ends_.back(); }
  const std::vector<std::string>& column_names() const override { return file_.column_names(); }
  Json row(std::int64_t index) const override {
    const auto group = static_cast<std::size_t>(std::upper_bound(group_ends_.begin(), group_ends_.end(), index) - group_ends_.begin());
    const std::int64_t begin = group == 0 ? 0 : group_ends_[group - 1];
    const auto rows = rows_of_group(static_cast<std::int64_t>(group));
    return parse_json_row((*rows)[static_cast<std::size_t>(index - begin)], 0, path_, index);
  }
  std::string where(std::int64_t index) const override { return fmt::format("{} row {}", path_, index); }
  const std::string& content_hash() const override { return hash_; }

 private:
  using Rows = std::shared_ptr<const std::vector<std::string>>;
  struct CachedGroup {
    std::int64_t group;
    std::size_t bytes;
    Rows rows;
  };

  Rows rows_of_group(std::int64_t group) const {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(cache_.begin(), cache_.end(), [&](const CachedGroup& cached) { return cached.group == group; });
    if (found != cache_.end()) {
      cache_.splice(cache_.begin(), cache_, found);
      return found->rows;
    }
    auto rows = std::make_shared<const std::vector<std::string>>(file_.read_row_group(group));
    std::size_t bytes = 0;
    for (const std::string& row : *rows) bytes += sizeof(std::string) + row.capacity();
    cached_bytes_ += bytes;
    cache_.push_front({group, bytes, rows});
    while (cached_bytes_ > kMaxCachedBytes && cache_.size() > 1) {
      cached_bytes_ -= cache_.back().bytes;
      cache_.pop_back();
    }
    return rows;
  }

  std::string path_;
  io::ParquetFile file_;
  std::vector<std::int64_t> group_ends_;
  std::string hash_;
  mutable std::mutex mutex_;
  mutable std::list<CachedGroup> cache_;  // the group used last comes first
  mutable std::size_t cached_bytes_ = 0;
};

}  // namespace

DatasetPtr open_parquet(const std::string& path) { return std::make_shared<ParquetDataset>(path); }

}  // namespace r1::data
