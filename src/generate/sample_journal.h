// Finished samples on disk: what makes a killed run go on without making any of them twice.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "io/journal.h"

namespace r1::generate {

/// One completion of one input row, as it was made.
struct SampleRecord {
  std::int64_t row = 0;
  std::int32_t sample = 0;
  std::string text;
  /// stop; length: max_new_tokens was reached; "length (max_model_len)": prompt and completion fill the model; prompt_too_long.
  std::string finish_reason;
  std::vector<std::int32_t> ids;
};

/// Which samples a job has: all ranks and all restarts agree on it.
struct SampleGrid {
  std::int64_t num_rows = 0;
  std::int32_t num_samples = 1;
  std::int64_t rows_per_part = 1;
  std::int64_t num_parts() const { return (num_rows + rows_per_part - 1) / rows_per_part; }
  std::int64_t num_items() const { return num_rows * num_samples; }
};

/// A folder of append-only journals, one per part of the rows and per writing rank: job.json says what the samples depend on, and
/// finished samples of any earlier run, with any number of ranks, count. Not thread-safe.
class SampleJournal {
 public:
  /// job: everything that a sample's content depends on. A folder that belongs to another job is Error(kUsage) that names what differs.
  /// Reads what the existing journals hold.
  SampleJournal(std::string folder, const nlohmann::ordered_json& job, SampleGrid grid, int rank);
  ~SampleJournal();

  bool has(std::int64_t row, std::int32_t sample) const;
  /// Finished samples at the time of opening and since then by this rank.
  std::int64_t num_finished() const { return num_finished_; }

  /// On disk after at most a few seconds. Throws Error(kDisk); the sample is then not finished.
  void append(const SampleRecord& record);
  /// Everything appended so far is on disk when this returns.
  void sync();

  /// All samples of a part, by all ranks, in order of (row, sample); empty places where one is missing.
  std::vector<SampleRecord> read_part(std::int64_t part) const;
  /// Marks the samples of a part as finished although no journal holds them: its output file is complete.
  void mark_part_finished(std::int64_t part);
  /// Removes the journals: the outputs are complete. job.json stays and tells what they depend on.
  void remove_records();

  const SampleGrid& grid() const { return grid_; }

 private:
  std::size_t index_of(std::int64_t row, std::int32_t sample) const;
  std::string path_of(std::int64_t part, int rank) const;

  std::string folder_;
  SampleGrid grid_;
  int rank_;
  std::vector<bool> finished_;
  std::int64_t num_finished_ = 0;
  std::map<std::int64_t, std::unique_ptr<io::Journal>> open_;  // by part; few at a time
};

}  // namespace r1::generate
