#include "generate/sample_journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"

namespace r1::generate {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kOpenJournals = 8;

std::string encode(const SampleRecord& record) {
  const Json json{
      {"row", record.row}, {"sample", record.sample}, {"finish_reason", record.finish_reason}, {"text", record.text}, {"ids", record.ids}};
  return to_json_line(json);
}

SampleRecord decode(std::string_view line, const std::string& path) {
  const Json json = parse_json(line, path, ErrorKind::kData, {.max_bytes = std::size_t{1} << 30, .max_depth = 8});
  return {json.at("row").get<std::int64_t>(), json.at("sample").get<std::int32_t>(), json.at("text").get<std::string>(),
          json.at("finish_reason").get<std::string>(), json.at("ids").get<std::vector<std::int32_t>>()};
}

std::vector<std::string> journals_in(const std::string& folder, const std::string& prefix) {
  std::vector<std::string> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(".journal")) paths.push_back(entry.path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

void check_same_job(const std::string& path, const Json& job) {
  const Json earlier = read_json_file(path, ErrorKind::kData);
  std::string differences;
  for (const auto& [key, value] : job.items()) {
    const Json before = earlier.contains(key) ? earlier[key] : Json();
    if (before != value) differences += fmt::format("\n  {}: {} there, {} now", key, before.dump(), value.dump());
  }
  if (differences.empty()) return;
  fail(ErrorKind::kUsage,
       "{} holds finished samples of another job:{}\nGo on with the earlier settings, choose another output folder, or remove {}",
       fs::path(path).parent_path().string(), differences, fs::path(path).parent_path().string());
}

}  // namespace

SampleJournal::SampleJournal(std::string folder, const Json& job, SampleGrid grid, int rank)
    : folder_(std::move(folder)), grid_(grid), rank_(rank), finished_(static_cast<std::size_t>(grid.num_items()), false) {
  make_directories(folder_);
  const std::string job_path = folder_ + "/job.json";
  if (fs::exists(job_path)) {
    check_same_job(job_path, job);
  } else if (rank == 0) {
    write_file_atomically(job_path, job.dump(2) + "\n");
  }
  for (const std::string& path : journals_in(folder_, "part-")) {
    io::Journal::read(path, [&](std::string_view line) {
      const SampleRecord record = decode(line, path);
      const std::size_t index = index_of(record.row, record.sample);
      if (!finished_[index]) ++num_finished_;
      finished_[index] = true;
    });
  }
}

SampleJournal::~SampleJournal() = default;

std::size_t SampleJournal::index_of(std::int64_t row, std::int32_t sample) const {
  if (row < 0 || row >= grid_.num_rows || sample < 0 || sample >= grid_.num_samples) {
    fail(ErrorKind::kData, "{}: holds sample {} of row {}, which this job does not have", folder_, sample, row);
  }
  return static_cast<std::size_t>(row * grid_.num_samples + sample);
}

std::string SampleJournal::path_of(std::int64_t part, int rank) const {
  return fmt::format("{}/part-{:05}-rank-{:04}.journal", folder_, part, rank);
}

bool SampleJournal::has(std::int64_t row, std::int32_t sample) const { return finished_[index_of(row, sample)]; }

void SampleJournal::append(const SampleRecord& record) {
  const std::size_t index = index_of(record.row, record.sample);
  R1_ASSERT(!finished_[index], "a finished sample is made again");
  const std::int64_t part = record.row / grid_.rows_per_part;
  std::unique_ptr<io::Journal>& journal = open_[part];
  if (journal == nullptr) {
    journal = std::make_unique<io::Journal>(path_of(part, rank_), io::SyncPolicy{.interval_seconds = 2});
    if (open_.size() > kOpenJournals) open_.erase(open_.begin()->first == part ? std::next(open_.begin()) : open_.begin());
  }
  open_.at(part)->append(encode(record));
  finished_[index] = true;
  ++num_finished_;
}

void SampleJournal::sync() {
  for (const auto& [part, journal] : open_) journal->sync();
}

std::vector<SampleRecord> SampleJournal::read_part(std::int64_t part) const {
  const std::int64_t first = part * grid_.rows_per_part;
  const std::int64_t rows = std::min(grid_.rows_per_part, grid_.num_rows - first);
  std::vector<SampleRecord> records(static_cast<std::size_t>(rows * grid_.num_samples));
  for (const std::string& path : journals_in(folder_, fmt::format("part-{:05}-", part))) {
    io::Journal::read(path, [&](std::string_view line) {
      SampleRecord record = decode(line, path);
      records.at(static_cast<std::size_t>((record.row - first) * grid_.num_samples + record.sample)) = std::move(record);
    });
  }
  return records;
}

void SampleJournal::mark_part_finished(std::int64_t part) {
  const std::int64_t first = part * grid_.rows_per_part, end = std::min(first + grid_.rows_per_part, grid_.num_rows);
  for (std::int64_t i = first * grid_.num_samples; i < end * grid_.num_samples; ++i) {
    if (!finished_[static_cast<std::size_t>(i)]) ++num_finished_;
    finished_[static_cast<std::size_t>(i)] = true;
  }
}

void SampleJournal::remove_records() {
  open_.clear();
  for (const std::string& path : journals_in(folder_, "part-")) fs::remove(path);
}

}  // namespace r1::generate
