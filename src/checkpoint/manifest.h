// manifest.json of a checkpoint: what the folder must hold, to the last bit.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace r1::checkpoint {

inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kStateName = "state.h5";

/// Bytes of a file as xxh3-128, 32 hexadecimal digits.
struct FileEntry {
  std::string name;  // inside the checkpoint's folder
  std::uint64_t num_bytes = 0;
  std::string xxh3;
};

struct DatasetEntry {
  std::string name;  // value/, exp_avg/ or exp_avg_sq/ before the parameter's name
  std::vector<std::int64_t> shape;
  std::int64_t num_elements = 0;
  std::uint64_t file_offset = 0;
};

/// Elements [begin, end) of a dataset as one rank wrote them; xxh3-64 of their bytes.
struct SliceEntry {
  std::int64_t dataset = 0;  // index into StateFile::datasets
  std::int64_t begin = 0, end = 0;
  std::uint64_t xxh3 = 0;
};

/// An HDF5 file. Slices cover the datasets; rest_xxh3 is of all bytes outside of them, in file order (HDF5's own structures).
struct StateFile {
  std::string name;
  std::uint64_t num_bytes = 0;
  std::string rest_xxh3;
  std::vector<DatasetEntry> datasets;
  std::vector<SliceEntry> slices;
};

struct Manifest {
  std::int64_t step = 0;
  std::int64_t world_size = 1;
  std::string version;     // of the suite that wrote it
  std::string state_json;  // TrainingState as JSON
  std::vector<StateFile> state_files;
  std::vector<FileEntry> files;  // everything else
};

/// folder/manifest.json: temporary file, fsync, rename. A first line holds the checksum of the rest, so that a damaged manifest is
/// told from one that disagrees with its files.
void write_manifest(const std::string& folder, const Manifest& manifest);
/// Throws Error(kData) for one that is missing, damaged or of another format.
Manifest read_manifest(const std::string& folder);

/// Bytes outside the datasets: what rest_xxh3 is made from.
std::string rest_digest(const std::string& path, const std::vector<DatasetEntry>& datasets);

/// What is wrong with a checkpoint's folder: missing files, other sizes, other bytes; empty when all is well. Rank r of N checks every
/// N-th slice, so that the ranks share the reading; all together see everything.
std::vector<std::string> find_damage(const std::string& folder, const Manifest& manifest, int rank = 0, int num_ranks = 1);

}  // namespace r1::checkpoint
