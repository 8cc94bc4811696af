#include "checkpoint/checkpointer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <thread>

#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/strings.h"
#include "checkpoint/collective_error.h"
#include "checkpoint/lock.h"
#include "checkpoint/manifest.h"
#include "checkpoint/retention.h"
#include "checkpoint/state_layout.h"
#include "checkpoint/state_reader.h"
#include "comm/activity.h"
#include "io/hdf5_file.h"

namespace r1::checkpoint {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void sync_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const int result = file < 0 ? -1 : ::fsync(file);
  const int error = errno;
  if (file >= 0) ::close(file);
  if (result != 0) fail(ErrorKind::kDisk, "{}: cannot fsync: {} ({} bytes free there)", path, std::strerror(error), free_disk_bytes(path));
}

/// A piece of a dataset on its way to the file.
struct HostSlice {
  std::int64_t dataset = 0, begin = 0;
  Tensor values;
};

// Everything in the folder but state and manifest, with digests; flushed to disk.
std::vector<FileEntry> describe_files(const std::string& folder, const std::vector<StateFile>& state_files) {
  std::vector<FileEntry> entries;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = fs::relative(entry.path(), folder).string();
    if (std::ranges::any_of(state_files, [&](const StateFile& file) { return file.name == name; })) continue;
    sync_file(entry.path().string());
    const MappedFile map(entry.path().string());
    Xxh3Stream stream;
    stream.update(map.text());
    entries.push_back({name, map.bytes().size(), stream.hex_digest()});
  }
  std::ranges::sort(entries, {}, &FileEntry::name);
  return entries;
}

}  // namespace

struct Checkpointer::Impl {
  CheckpointerOptions options;
  nn::ParameterSet& parameters;
  parallel::ParameterStore& store;
  HostAccess access;
  StateLayout layout;
  FilePlan plan;
  std::unique_ptr<comm::Communicator> background_communicator;  // of the writing thread alone
  std::thread thread;
  std::optional<RankError> background_error;
  double stall_seconds = 0, write_seconds = 0;

  comm::Communicator& communicator() { return store.communicator(); }

  // Calls visit(slice) for every piece that this rank answers for, at most kSliceElements long.
  void for_each_slice(const std::function<void(const HostSlice&)>& visit) {
    store.for_each_owned_shard([&](parallel::Shard& shard) {
      const std::int64_t first = layout.first_dataset(*shard.parameter);
      const Tensor* tensors[] = {&shard.value, &shard.exp_avg, &shard.exp_avg_sq};
      for (std::int64_t kind = 0; kind < kNumStateKinds; ++kind) {
        const Tensor host = access.to_host(*tensors[kind]);
        for (std::int64_t at = 0; at < host.num_elements(); at += kSliceElements) {
          const std::int64_t count = std::min(kSliceElements, host.num_elements() - at);
          visit({first + kind, shard.begin + at, host.slice(at, {count})});
        }
      }
    });
  }

  const PlannedFile& file_of(int rank) const { return plan.files[plan.file_of_rank[static_cast<std::size_t>(rank)]]; }

  SliceEntry write_slice(io::Hdf5File& file, const PlannedFile& planned, const HostSlice& slice) const {
    const auto values = slice.values.host_span<float>();
    const DatasetEntry& dataset = layout.datasets()[static_cast<std::size_t>(slice.dataset)];
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!std::isfinite(values[i])) {
        fail(ErrorKind::kNumeric, "{}: element {} is {}; nothing that is not finite is saved, the checkpoints before stay", dataset.name,
             slice.begin + static_cast<std::int64_t>(i), values[i]);
      }
    }
    const std::int64_t piece = planned.piece_of(slice.dataset, slice.begin);
    const std::int64_t begin = slice.begin - planned.pieces[static_cast<std::size_t>(piece)].begin;
    file.write(planned.datasets[static_cast<std::size_t>(piece)].name, begin, values);
    return {piece, begin, begin + static_cast<std::int64_t>(values.size()), xxh3_64(values.data(), values.size_bytes())};
  }

  // All ranks' slices by file, on every rank.
  std::vector<std::vector<SliceEntry>> gather_slices(comm::Communicator& communicator, const std::vector<SliceEntry>& own) const {
    std::vector<std::vector<SliceEntry>> by_file(plan.files.size());
    std::size_t rank = 0;
    for (const auto& part : communicator.host_gather_values(std::span<const SliceEntry>(own), "checkpoint slices")) {
      std::vector<SliceEntry>& slices = by_file[plan.file_of_rank[rank++]];
      slices.insert(slices.end(), part.begin(), part.end());
    }
    return by_file;
  }

  // What the file itself says must be what was asked for.
  static StateFile describe_state_file(const std::string& folder, const PlannedFile& planned) {
    const std::string path = folder + "/" + planned.name;
    StateFile file{planned.name, fs::file_size(path), "", planned.datasets, {}};
    std::map<std::string, io::Hdf5Dataset> found;
    for (io::Hdf5Dataset& dataset : io::Hdf5File::open(path).datasets()) found.emplace(dataset.name, std::move(dataset));
    for (DatasetEntry& dataset : file.datasets) {
      const auto at = found.find(dataset.name);
      const bool is_whole = at != found.end() && at->second.num_elements == dataset.num_elements && at->second.shape == dataset.shape &&
                            at->second.file_offset + static_cast<std::uint64_t>(dataset.num_elements) * sizeof(float) <= file.num_bytes;
      if (!is_whole) fail(ErrorKind::kDisk, "{}: dataset {} did not reach the file whole", path, dataset.name);
      dataset.file_offset = at->second.file_offset;
    }
    file.rest_xxh3 = rest_digest(path, file.datasets);
    return file;
  }

  void publish(const std::string& temporary, const TrainingState& state, std::vector<std::vector<SliceEntry>> slices,
               int world_size) const {
    Manifest manifest;
    manifest.step = state.step;
    manifest.world_size = world_size;
    manifest.version = options.version;
    manifest.state_json = to_json(state);
    for (std::size_t i = 0; i < plan.files.size(); ++i) {
      manifest.state_files.push_back(describe_state_file(temporary, plan.files[i]));
      manifest.state_files.back().slices = std::move(slices[i]);
    }
    if (options.layout == CheckpointLayout::kPerNode) write_index(temporary, layout, plan);
    manifest.files = describe_files(temporary, manifest.state_files);
    write_manifest(temporary, manifest);
    sync_directory(temporary);
    const std::string folder = checkpoint_folder(options.output_dir, state.step);
    const std::string replaced = folder + ".old." + job_name();
    if (fs::exists(folder)) fs::rename(folder, replaced);  // the same step, saved again
    fs::rename(temporary, folder);
    sync_directory(options.output_dir);
    std::error_code ignored;  // what stays of the replaced one is deleted when the next run begins
    fs::remove_all(replaced, ignored);
    write_file_atomically(options.output_dir + "/latest", fs::path(folder).filename().string() + "\n");
  }

  // Collective: the whole save but for the copy of the state. for_each gives this rank's slices.
  void write(comm::Communicator& group, const TrainingState& state, const std::string& temporary,
             const std::function<void(const std::function<void(const HostSlice&)>&)>& for_each) {
    const auto begin = Clock::now();
    std::optional<io::Hdf5File> file;
    std::vector<SliceEntry> own;
    const PlannedFile& planned = file_of(group.rank());
    const std::string path = temporary + "/" + planned.name;
    std::optional<RankError> error = attempt([&] {
      file.emplace(io::Hdf5File::create(path, planned.world_ranks));
      for (const DatasetEntry& dataset : planned.datasets) file->create_dataset(dataset.name, dataset.num_elements, dataset.shape);
      file->set_attribute("step", std::to_string(state.step));
      file->set_attribute("version", options.version);
    });
    agree(group, error, "checkpoint file");
    error = attempt([&] { for_each([&](const HostSlice& slice) { own.push_back(write_slice(*file, planned, slice)); }); });
    const auto closing = attempt([&] { file->close(); });  // collective: also after an error
    if (!error) error = closing;
    if (!error) error = attempt([&] { sync_file(path); });
    agree(group, error, "checkpoint writes");
    std::vector<std::vector<SliceEntry>> all = gather_slices(group, own);
    if (group.rank() == 0) error = attempt([&] { publish(temporary, state, std::move(all), group.world_size()); });
    agree(group, error, "checkpoint publication");
    write_seconds += seconds_since(begin);
    if (group.rank() != 0) return;
    log::info("step {}: saved {} ({}, {:.2f} s)", state.step, checkpoint_folder(options.output_dir, state.step),
              format_bytes(static_cast<double>(layout.num_bytes())), seconds_since(begin));
    if (options.save_total_limit) delete_oldest_checkpoints(options.output_dir, *options.save_total_limit);
  }

  // Removes what a failed save left and says what it would have needed.
  Error cleaned_up(const Error& error, const std::string& temporary, int rank) const {
    if (rank == 0) {
      std::error_code ignored;
      fs::remove_all(temporary, ignored);
    }
    if (error.kind() != ErrorKind::kDisk) return error;
    return Error(ErrorKind::kDisk, fmt::format("{}. The checkpoint was not saved: its state needs {} bytes, {} are free in {}. The "
                                               "checkpoints before it are intact; make room and start again with --resume_from_checkpoint "
                                               "latest",
                                               error.what(), layout.num_bytes(), free_disk_bytes(options.output_dir), options.output_dir));
  }
};

Checkpointer::Checkpointer(CheckpointerOptions options, nn::ParameterSet& parameters, parallel::ParameterStore& store, HostAccess access)
    : impl_(new Impl{std::move(options), parameters, store, std::move(access), StateLayout(parameters), {}, nullptr, {}, {}}) {
  impl_->plan = plan_files(impl_->options.layout, impl_->layout, store);
  if (impl_->options.async_save) impl_->background_communicator = store.communicator().split(0, store.communicator().rank());
}

Checkpointer::~Checkpointer() {
  if (impl_->thread.joinable()) impl_->thread.join();
}

std::int64_t Checkpointer::state_bytes() const { return impl_->layout.num_bytes(); }
double Checkpointer::stall_seconds() const { return impl_->stall_seconds; }
double Checkpointer::write_seconds() const { return impl_->write_seconds; }

void Checkpointer::save(const TrainingState& state, const AddFiles& add_files) {
  wait();
  const auto begin = Clock::now();
  Impl& impl = *impl_;
  comm::Communicator& communicator = impl.communicator();
  const std::string temporary = fmt::format("{}.tmp.{}", checkpoint_folder(impl.options.output_dir, state.step),
                                            text_of_first_rank(communicator, job_name(), "job name"));
  const comm::Phase phase(fmt::format("saving step {}", state.step), comm::Patience::kLong);
  try {
    std::optional<RankError> error;
    if (communicator.rank() == 0) {
      error = attempt([&] {
        const std::uint64_t free = free_disk_bytes(impl.options.output_dir);
        if (free < static_cast<std::uint64_t>(impl.layout.num_bytes())) fail(ErrorKind::kDisk, "{}: no room", temporary);
        fs::remove_all(temporary);
        make_directories(temporary);
      });
    }
    agree(communicator, error, "checkpoint folder");
    if (add_files) add_files(temporary);
    if (!impl.options.async_save) {
      impl.write(communicator, state, temporary, [&](const auto& visit) { impl.for_each_slice(visit); });
      impl.stall_seconds += seconds_since(begin);
      return;
    }
    auto slices = std::make_shared<std::vector<HostSlice>>();
    agree(communicator, attempt([&] { impl.for_each_slice([&](const HostSlice& slice) { slices->push_back(slice); }); }),
          "copy of the state");
    impl.thread = std::thread([&impl, state, temporary, slices] {
      try {
        impl.write(*impl.background_communicator, state, temporary, [&](const auto& visit) {
          for (const HostSlice& slice : *slices) visit(slice);
        });
      } catch (const Error& thrown) {
        const Error final = impl.cleaned_up(thrown, temporary, impl.background_communicator->rank());
        impl.background_error = RankError{final.kind(), final.what()};
      }
    });
    impl.stall_seconds += seconds_since(begin);
  } catch (const Error& thrown) {
    throw impl.cleaned_up(thrown, temporary, communicator.rank());
  }
}

void Checkpointer::wait() {
  if (!impl_->thread.joinable()) return;
  const auto begin = Clock::now();
  const comm::Phase phase("waiting for the checkpoint in the background", comm::Patience::kLong);
  impl_->thread.join();
  impl_->stall_seconds += seconds_since(begin);
  if (impl_->background_error) {
    const RankError error = *std::exchange(impl_->background_error, std::nullopt);
    throw Error(error.kind, error.message);
  }
}

}  // namespace r1::checkpoint
