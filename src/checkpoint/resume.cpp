#include "checkpoint/resume.h"

#include <fmt/ranges.h>
#include <filesystem>

#include <map>

#include "base/log.h"
#include "base/strings.h"
#include "checkpoint/collective_error.h"
#include "checkpoint/retention.h"
#include "checkpoint/state_layout.h"
#include "checkpoint/state_reader.h"

namespace r1::checkpoint {
namespace {

constexpr std::size_t kNamedDamages = 3;

std::string summary(const std::vector<std::string>& damage) {
  std::vector<std::string> shown(damage.begin(), damage.begin() + static_cast<std::ptrdiff_t>(std::min(kNamedDamages, damage.size())));
  if (damage.size() > kNamedDamages) shown.push_back(fmt::format("and {} more", damage.size() - kNamedDamages));
  return join(shown, "; ");
}

// This rank's part of the check; throws Error(kData).
FoundCheckpoint check(const std::string& folder, int rank, int num_ranks) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(folder)) fail(ErrorKind::kData, "{}: expected a checkpoint's folder, found none", folder);
  if (!fs::exists(folder + "/" + kManifestName) && fs::exists(folder + "/config.json")) {
    fail(ErrorKind::kData, "{}: holds a model only (save_only_model), no state to resume from; give it as --model_name_or_path instead",
         folder);
  }
  FoundCheckpoint found{folder, read_manifest(folder), {}};
  const std::vector<std::string> damage = find_damage(folder, found.manifest, rank, num_ranks);
  if (!damage.empty()) fail(ErrorKind::kData, "{}: damaged: {}", folder, summary(damage));
  found.state = training_state_from(found.manifest.state_json, folder + "/" + kManifestName);
  return found;
}

}  // namespace

FoundCheckpoint open_checkpoint(const std::string& folder, comm::Communicator& communicator) {
  std::string path = folder;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  FoundCheckpoint found;
  agree(communicator, attempt([&] { found = check(path, communicator.rank(), communicator.world_size()); }), "checkpoint check");
  return found;
}

std::optional<FoundCheckpoint> find_latest(const std::string& output_dir, comm::Communicator& communicator) {
  // Rank 0's view of the folder counts: others may see an older one on a network file system.
  std::vector<std::string> names;
  for (const std::int64_t step : checkpoint_steps(output_dir)) names.push_back(std::to_string(step));
  const std::string steps = text_of_first_rank(communicator, join(names, " "), "checkpoint steps");
  std::vector<std::string> candidates = steps.empty() ? std::vector<std::string>() : split(steps, ' ');
  for (auto step = candidates.rbegin(); step != candidates.rend(); ++step) {
    try {
      return open_checkpoint(output_dir + "/checkpoint-" + *step, communicator);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kData) throw;
      log::warning("skipped {}", error.what());
    }
  }
  return std::nullopt;
}

void load_state(const FoundCheckpoint& found, nn::ParameterSet& parameters, parallel::ParameterStore& store, const HostAccess& access) {
  const StateLayout layout(parameters);
  StateReader reader(found.folder, found.manifest);
  std::map<std::string, const DatasetEntry*> saved;
  for (const DatasetEntry& dataset : reader.datasets()) saved.emplace(dataset.name, &dataset);
  for (const DatasetEntry& dataset : layout.datasets()) {
    const auto at = saved.find(dataset.name);
    if (at == saved.end()) fail(ErrorKind::kModel, "{}: holds no dataset {}: it is of another model", found.folder, dataset.name);
    if (at->second->shape != dataset.shape) {
      fail(ErrorKind::kModel, "{}: {}: expected shape [{}], the checkpoint has [{}]", found.folder, dataset.name,
           fmt::join(dataset.shape, ", "), fmt::join(at->second->shape, ", "));
    }
  }
  if (saved.size() != layout.datasets().size()) {
    fail(ErrorKind::kModel, "{}: holds {} datasets, the model has {}: it is of another model", found.folder, saved.size(),
         layout.datasets().size());
  }
  store.for_each_shard([&](parallel::Shard& shard) {
    const std::int64_t first = layout.first_dataset(*shard.parameter);
    Tensor* tensors[] = {&shard.value, &shard.exp_avg, &shard.exp_avg_sq};
    for (std::int64_t kind = 0; kind < kNumStateKinds; ++kind) {
      Tensor host = Tensor::host({shard.end - shard.begin}, DType::kF32);
      const auto values = host.host_span<float>();
      const std::string& name = layout.datasets()[static_cast<std::size_t>(first + kind)].name;
      for (std::int64_t at = 0; at < host.num_elements(); at += kSliceElements) {
        const auto count = static_cast<std::size_t>(std::min(kSliceElements, host.num_elements() - at));
        reader.read(name, shard.begin + at, values.subspan(static_cast<std::size_t>(at), count));
      }
      access.from_host(host, *tensors[kind]);
    }
  });
  store.publish_updated(parallel::Updated::kValues);
}

}  // namespace r1::checkpoint
