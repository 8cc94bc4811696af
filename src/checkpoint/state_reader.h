// The tensors of a checkpoint, whichever files they lie in.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/file_plan.h"
#include "checkpoint/manifest.h"

namespace r1::io {
class Hdf5File;
}

namespace r1::checkpoint {

/// index.json of the layout per_node: for each dataset of the state, which elements lie in which dataset of which file.
inline constexpr const char* kIndexName = "index.json";
void write_index(const std::string& folder, const StateLayout& state, const FilePlan& plan);

/// Reads elements of the state's datasets; files are opened when they are first needed. For one process and one thread.
class StateReader {
 public:
  /// The manifest is of that folder and found good. Throws Error(kData) for an index that does not fit its files.
  StateReader(std::string folder, const Manifest& manifest);
  ~StateReader();
  StateReader(const StateReader&) = delete;
  StateReader& operator=(const StateReader&) = delete;

  /// All of the state, as if it were in one file, in order of declaration; file_offset is 0.
  const std::vector<DatasetEntry>& datasets() const { return datasets_; }
  /// Elements [begin, begin + values.size()) of a dataset.
  void read(const std::string& dataset, std::int64_t begin, std::span<float> values);

 private:
  struct Piece {
    std::int64_t begin = 0, end = 0;
    std::string file, dataset;
  };
  void read_index(const Manifest& manifest);

  std::string folder_;
  std::vector<DatasetEntry> datasets_;
  std::map<std::string, std::vector<Piece>> pieces_;  // of each dataset, ascending, without gaps
  std::map<std::string, std::unique_ptr<io::Hdf5File>> files_;
};

}  // namespace r1::checkpoint
