// Parallel HDF5 as checkpoints need it: one-dimensional contiguous f32 datasets with a shape, written in pieces by all ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace r1::io {

/// This process's rank in MPI_COMM_WORLD; 0 when MPI is not in use.
int world_rank();

/// A dataset of a file: num_elements f32 values, little endian, in one run of bytes from file_offset on.
struct Hdf5Dataset {
  std::string name;
  std::vector<std::int64_t> shape;  // of the tensor that was flattened
  std::int64_t num_elements = 0;
  std::uint64_t file_offset = 0;
};

/// An open file. Not thread-safe; HDF5 itself is not, so one thread at a time uses any of them.
/// Every failing call throws Error(kDisk), while reading Error(kData), with the path and HDF5's own reason.
class Hdf5File {
 public:
  /// Replaces a file of that name. world_ranks: the ranks of MPI_COMM_WORLD that write the file, ascending, this process among them; none
  /// or one: this process alone. With several, create, create_dataset, set_attribute and close are collective among them, write is not.
  static Hdf5File create(const std::string& path, std::span<const int> world_ranks = {});
  /// For reading, by this process alone.
  static Hdf5File open(const std::string& path);

  Hdf5File(Hdf5File&& other) noexcept;
  Hdf5File& operator=(Hdf5File&&) = delete;
  /// Closes; a failure is then silent, so call close().
  ~Hdf5File();

  /// The name may hold '/' (groups are made). Space for it is taken at once and not filled.
  void create_dataset(const std::string& name, std::int64_t num_elements, std::span<const std::int64_t> shape);
  /// Elements [begin, begin + values.size()) of the dataset; at most kMaxTransfer in one call.
  void write(const std::string& name, std::int64_t begin, std::span<const float> values);
  void read(const std::string& name, std::int64_t begin, std::span<float> values);
  /// A text on the file itself (up to 60 KiB: HDF5's limit).
  void set_attribute(const std::string& name, const std::string& text);

  /// All datasets, in order of their names.
  std::vector<Hdf5Dataset> datasets();
  void close();

  /// 1 GiB: what goes to MPI-IO in one call must count in 32 bits.
  static constexpr std::int64_t kMaxTransfer = std::int64_t{1} << 28;

 private:
  struct State;
  explicit Hdf5File(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace r1::io
