#include "io/hdf5_file.h"

#include <hdf5.h>
#include <mpi.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string_view>

#include "base/error.h"
#include "base/files.h"

namespace r1::io {
namespace {

constexpr const char* kShapeAttribute = "shape";

// The library's settings for the process: errors are reported by us, and file locks are off (Lustre and NFS lack them; the run's
// own lock keeps a second writer away).
void initialize() {
  static std::once_flag once;
  std::call_once(once, [] {
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", /*overwrite=*/1);
    H5dont_atexit();  // after a write that failed, the library's own end would try it again on what it has freed, and crash
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  });
}

// The innermost message of HDF5's error stack says what the system said ("No space left on device").
std::string last_reason() {
  std::string reason;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_DOWNWARD,
      [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
        if (entry->desc != nullptr) *static_cast<std::string*>(out) = entry->desc;
        return 0;
      },
      &reason);
  H5Eclear2(H5E_DEFAULT);
  return reason.empty() ? "unknown reason" : reason;
}

/// Closes an HDF5 object at the end of the scope.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close_function)(hid_t)) : id_(id), close_(close_function) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  hid_t get() const { return id_; }
  bool failed() const { return id_ < 0; }
  /// Closes now; negative when that fails.
  herr_t close() {
    const hid_t id = id_;
    id_ = -1;
    return close_(id);
  }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

// The communicator of some ranks of the job, made at their first common call and kept: freeing it would need all of them again.
MPI_Comm communicator_of(std::span<const int> world_ranks) {
  static std::mutex mutex;
  static std::map<std::vector<int>, MPI_Comm> made;
  const std::lock_guard lock(mutex);
  const auto [at, is_new] = made.try_emplace({world_ranks.begin(), world_ranks.end()}, MPI_COMM_NULL);
  if (!is_new) return at->second;
  MPI_Group all = MPI_GROUP_NULL, some = MPI_GROUP_NULL;
  MPI_Comm_group(MPI_COMM_WORLD, &all);
  MPI_Group_incl(all, static_cast<int>(world_ranks.size()), world_ranks.data(), &some);
  constexpr int kTag = 5;
  MPI_Comm_create_group(MPI_COMM_WORLD, some, kTag, &at->second);
  MPI_Group_free(&some);
  MPI_Group_free(&all);
  return at->second;
}

}  // namespace

int world_rank() {
  int is_initialized = 0, rank = 0;
  MPI_Initialized(&is_initialized);
  if (is_initialized != 0) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

struct Hdf5File::State {
  std::string path;
  hid_t file = -1;
  bool is_writing = false;

  [[noreturn]] void fail_with(const std::string& action) const {
    const int error = errno;
    std::string reason = last_reason();
    // MPI-IO says no more than "input/output error"; the system's own word is still there.
    const bool is_known = error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO;
    if (is_known && reason.find(std::strerror(error)) == std::string::npos) reason += fmt::format(" ({})", std::strerror(error));
    if (is_writing) fail(ErrorKind::kDisk, "{}: cannot {}: {} ({} bytes free there)", path, action, reason, free_disk_bytes(path));
    fail(ErrorKind::kData, "{}: cannot {}: {}", path, action, reason);
  }
  hid_t check(hid_t id, const std::string& action) const {
    if (id < 0) fail_with(action);
    return id;
  }
};

Hdf5File::Hdf5File(std::unique_ptr<State> state) : state_(std::move(state)) {}
Hdf5File::Hdf5File(Hdf5File&& other) noexcept = default;

Hdf5File::~Hdf5File() {
  if (state_ && state_->file >= 0) H5Fclose(state_->file);
}

Hdf5File Hdf5File::create(const std::string& path, std::span<const int> world_ranks) {
  initialize();
  auto state = std::make_unique<State>();
  state->path = path;
  state->is_writing = true;
  const Handle properties(state->check(H5Pcreate(H5P_FILE_ACCESS), "create this file"), H5Pclose);
  // Datasets that stripes of a parallel file system should not share begin at whole mebibytes.
  H5Pset_alignment(properties.get(), 1 << 16, 1 << 20);
  H5Pset_fclose_degree(properties.get(), H5F_CLOSE_STRONG);
  if (world_ranks.size() > 1) {
    H5Pset_fapl_mpio(properties.get(), communicator_of(world_ranks), MPI_INFO_NULL);
    H5Pset_all_coll_metadata_ops(properties.get(), true);
    H5Pset_coll_metadata_write(properties.get(), true);
  }
  state->file = state->check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, properties.get()), "create this file");
  return Hdf5File(std::move(state));
}

Hdf5File Hdf5File::open(const std::string& path) {
  initialize();
  auto state = std::make_unique<State>();
  state->path = path;
  state->file = state->check(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "open this file");
  return Hdf5File(std::move(state));
}

void Hdf5File::create_dataset(const std::string& name, std::int64_t num_elements, std::span<const std::int64_t> shape) {
  const std::string action = fmt::format("create dataset {}", name);
  const auto extent = static_cast<hsize_t>(num_elements);
  const Handle space(state_->check(H5Screate_simple(1, &extent, nullptr), action), H5Sclose);
  const Handle links(state_->check(H5Pcreate(H5P_LINK_CREATE), action), H5Pclose);
  H5Pset_create_intermediate_group(links.get(), 1);
  const Handle creation(state_->check(H5Pcreate(H5P_DATASET_CREATE), action), H5Pclose);
  H5Pset_layout(creation.get(), H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
  Handle dataset(
      state_->check(H5Dcreate2(state_->file, name.c_str(), H5T_IEEE_F32LE, space.get(), links.get(), creation.get(), H5P_DEFAULT), action),
      H5Dclose);
  const auto rank = static_cast<hsize_t>(shape.size());
  const Handle shape_space(state_->check(rank == 0 ? H5Screate(H5S_NULL) : H5Screate_simple(1, &rank, nullptr), action), H5Sclose);
  Handle attribute(
      state_->check(H5Acreate2(dataset.get(), kShapeAttribute, H5T_STD_I64LE, shape_space.get(), H5P_DEFAULT, H5P_DEFAULT), action),
      H5Aclose);
  if (rank > 0 && H5Awrite(attribute.get(), H5T_NATIVE_INT64, shape.data()) < 0) state_->fail_with(action);
  if (attribute.close() < 0 || dataset.close() < 0) state_->fail_with(action);
}

void Hdf5File::write(const std::string& name, std::int64_t begin, std::span<const float> values) {
  const std::string action = fmt::format("write {} values of dataset {} from {}", values.size(), name, begin);
  Handle dataset(state_->check(H5Dopen2(state_->file, name.c_str(), H5P_DEFAULT), action), H5Dclose);
  const Handle file_space(state_->check(H5Dget_space(dataset.get()), action), H5Sclose);
  const auto start = static_cast<hsize_t>(begin), count = static_cast<hsize_t>(values.size());
  const Handle memory_space(state_->check(H5Screate_simple(1, &count, nullptr), action), H5Sclose);
  // Slices are disjoint runs of bytes: each rank writes its own independently, so that one that fails leaves none waiting.
  errno = 0;
  if (H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr) < 0 ||
      H5Dwrite(dataset.get(), H5T_NATIVE_FLOAT, memory_space.get(), file_space.get(), H5P_DEFAULT, values.data()) < 0) {
    state_->fail_with(action);
  }
  if (dataset.close() < 0) state_->fail_with(action);
}

void Hdf5File::read(const std::string& name, std::int64_t begin, std::span<float> values) {
  const std::string action = fmt::format("read {} values of dataset {} from {}", values.size(), name, begin);
  const Handle dataset(state_->check(H5Dopen2(state_->file, name.c_str(), H5P_DEFAULT), action), H5Dclose);
  const Handle file_space(state_->check(H5Dget_space(dataset.get()), action), H5Sclose);
  const auto start = static_cast<hsize_t>(begin), count = static_cast<hsize_t>(values.size());
  const Handle memory_space(state_->check(H5Screate_simple(1, &count, nullptr), action), H5Sclose);
  if (H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr) < 0 ||
      H5Dread(dataset.get(), H5T_NATIVE_FLOAT, memory_space.get(), file_space.get(), H5P_DEFAULT, values.data()) < 0) {
    state_->fail_with(action);
  }
}

void Hdf5File::set_attribute(const std::string& name, const std::string& text) {
  const std::string action = fmt::format("write attribute {}", name);
  const Handle type(state_->check(H5Tcopy(H5T_C_S1), action), H5Tclose);
  H5Tset_size(type.get(), text.size() + 1);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  const Handle space(state_->check(H5Screate(H5S_SCALAR), action), H5Sclose);
  Handle attribute(state_->check(H5Acreate2(state_->file, name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), action),
                   H5Aclose);
  if (H5Awrite(attribute.get(), type.get(), text.c_str()) < 0 || attribute.close() < 0) state_->fail_with(action);
}

std::vector<Hdf5Dataset> Hdf5File::datasets() {
  std::vector<std::string> names;
  const auto collect = [](hid_t, const char* name, const H5O_info_t* info, void* out) -> herr_t {
    if (info->type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  if (H5Ovisit(state_->file, H5_INDEX_NAME, H5_ITER_INC, collect, &names) < 0) state_->fail_with("list the datasets");
  std::vector<Hdf5Dataset> found;
  for (const std::string& name : names) {
    const std::string action = fmt::format("describe dataset {}", name);
    const Handle dataset(state_->check(H5Dopen2(state_->file, name.c_str(), H5P_DEFAULT), action), H5Dclose);
    const Handle space(state_->check(H5Dget_space(dataset.get()), action), H5Sclose);
    const Handle attribute(state_->check(H5Aopen(dataset.get(), kShapeAttribute, H5P_DEFAULT), action), H5Aclose);
    const Handle shape_space(state_->check(H5Aget_space(attribute.get()), action), H5Sclose);
    Hdf5Dataset& entry = found.emplace_back();
    entry.name = name;
    entry.num_elements = H5Sget_simple_extent_npoints(space.get());
    entry.file_offset = H5Dget_offset(dataset.get());
    entry.shape.resize(static_cast<std::size_t>(std::max<hssize_t>(0, H5Sget_simple_extent_npoints(shape_space.get()))));
    if (!entry.shape.empty() && H5Aread(attribute.get(), H5T_NATIVE_INT64, entry.shape.data()) < 0) state_->fail_with(action);
    if (entry.num_elements < 0 || entry.file_offset == HADDR_UNDEF) state_->fail_with(action);
  }
  return found;
}

void Hdf5File::close() {
  const hid_t file = std::exchange(state_->file, -1);
  errno = 0;
  if (file >= 0 && H5Fclose(file) < 0) state_->fail_with("close this file");
}

}  // namespace r1::io
