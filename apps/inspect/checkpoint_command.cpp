#include "apps/inspect/checkpoint_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/strings.h"
#include "checkpoint/hf_export.h"
#include "checkpoint/manifest.h"
#include "checkpoint/state_reader.h"
#include "checkpoint/training_state.h"

namespace r1::apps {
namespace {

constexpr const char* kHelp =
    "usage: r1_inspect checkpoint PATH [--verify] [--diff PATH2] [--to-hf DIR [--tokenizer DIR]]\n"
    "  --verify      reads everything back and compares it with the manifest's checksums; exit code 3 when something differs\n"
    "  --diff PATH2  tensors whose values differ, with the largest difference\n"
    "  --to-hf DIR   the weights as a Hugging Face folder, as the run would have saved them at that step (dtype, tokenizer, template)\n"
    "  --tokenizer DIR  takes tokenizer and generation_config.json from here when the source model's folder has moved\n";
constexpr std::int64_t kPiece = std::int64_t{1} << 22;

void print_content(const std::string& folder, const checkpoint::Manifest& manifest) {
  const checkpoint::TrainingState state = checkpoint::training_state_from(manifest.state_json, folder);
  fmt::print("step         {} of {}\n", manifest.step, state.identity.max_steps);
  fmt::print("task         {}, seed {}, data seed {}, {} rows a step\n", state.identity.task, state.identity.seed, state.identity.data_seed,
             state.identity.rows_per_step);
  fmt::print("written by   {} ranks, version {}\n", manifest.world_size, manifest.version);
  for (const checkpoint::StateFile& file : manifest.state_files) {
    fmt::print("{}     {} ({} datasets, {} slices with checksums)\n", file.name, format_bytes(static_cast<double>(file.num_bytes)),
               file.datasets.size(), file.slices.size());
    for (const checkpoint::DatasetEntry& dataset : file.datasets) fmt::print("  {} [{}]\n", dataset.name, fmt::join(dataset.shape, ", "));
  }
  for (const checkpoint::FileEntry& file : manifest.files)
    fmt::print("{}  {}  xxh3 {}\n", file.name, format_bytes(static_cast<double>(file.num_bytes)), file.xxh3);
}

int verify(const std::string& folder, const checkpoint::Manifest& manifest) {
  const std::vector<std::string> damage = checkpoint::find_damage(folder, manifest);
  for (const std::string& line : damage) fmt::print("damaged: {}\n", line);
  if (damage.empty()) fmt::print("verified: every byte is as it was written\n");
  return damage.empty() ? 0 : exit_code(ErrorKind::kData);
}

std::map<std::string, checkpoint::DatasetEntry> datasets_of(const checkpoint::StateReader& reader) {
  std::map<std::string, checkpoint::DatasetEntry> datasets;
  for (const checkpoint::DatasetEntry& dataset : reader.datasets()) datasets.emplace(dataset.name, dataset);
  return datasets;
}

void print_difference(const std::string& a_folder, const checkpoint::Manifest& a, const std::string& b_folder) {
  const checkpoint::Manifest b = checkpoint::read_manifest(b_folder);
  checkpoint::StateReader a_state(a_folder, a), b_state(b_folder, b);
  const auto of_a = datasets_of(a_state), of_b = datasets_of(b_state);
  std::int64_t num_equal = 0;
  for (const auto& [name, dataset] : of_a) {
    const auto other = of_b.find(name);
    if (other == of_b.end() || other->second.shape != dataset.shape) {
      fmt::print("{}: {}\n", name, other == of_b.end() ? "only in the first" : "other shape");
      continue;
    }
    std::int64_t num_different = 0;
    float largest = 0;
    std::vector<float> a_values, b_values;
    for (std::int64_t at = 0; at < dataset.num_elements; at += kPiece) {
      const auto count = static_cast<std::size_t>(std::min(kPiece, dataset.num_elements - at));
      a_values.resize(count);
      b_values.resize(count);
      a_state.read(name, at, a_values);
      b_state.read(name, at, b_values);
      for (std::size_t i = 0; i < count; ++i) {
        num_different += a_values[i] != b_values[i] ? 1 : 0;
        largest = std::max(largest, std::fabs(a_values[i] - b_values[i]));
      }
    }
    if (num_different == 0) ++num_equal;
    if (num_different > 0)
      fmt::print("{}: {} of {} values differ, by at most {:.3g}\n", name, num_different, dataset.num_elements, largest);
  }
  for (const auto& [name, dataset] : of_b) {
    if (!of_a.contains(name)) fmt::print("{}: only in the second\n", name);
  }
  fmt::print("{} of {} tensors are equal (steps {} and {})\n", num_equal, of_a.size(), a.step, b.step);
}

}  // namespace

int run_checkpoint(std::span<const std::string> arguments) {
  std::optional<std::string> path, other, to_hf, tokenizer;
  bool verifies = false;
  std::size_t at = 0;
  // The value of "--name value" or "--name=value".
  const auto is_option = [&](const std::string& name, std::optional<std::string>& value) {
    const std::string& argument = arguments[at];
    if (argument.starts_with(name + "=")) {
      value = argument.substr(name.size() + 1);
      return true;
    }
    if (argument != name || at + 1 == arguments.size()) return false;
    value = arguments[++at];
    return true;
  };
  for (; at < arguments.size(); ++at) {
    const std::string& argument = arguments[at];
    if (argument == "--help" || argument == "-h") {
      fmt::print("{}", kHelp);
      return 0;
    }
    if (argument == "--verify") {
      verifies = true;
    } else if (is_option("--diff", other) || is_option("--to-hf", to_hf) || is_option("--tokenizer", tokenizer)) {
      continue;
    } else if (argument.starts_with("-") || path) {
      fail(ErrorKind::kUsage, "unexpected argument '{}', or its value is missing\n{}", argument, kHelp);
    } else {
      path = argument;
    }
  }
  if (!path) fail(ErrorKind::kUsage, "expected the path of a checkpoint\n{}", kHelp);
  if (tokenizer && !to_hf) fail(ErrorKind::kUsage, "--tokenizer: expected --to-hf with it\n{}", kHelp);
  const checkpoint::Manifest manifest = checkpoint::read_manifest(*path);
  print_content(*path, manifest);
  if (other) print_difference(*path, manifest, *other);
  if (to_hf) {
    checkpoint::export_checkpoint(*path, *to_hf, tokenizer.value_or(""));
    fmt::print("exported     {}\n", *to_hf);
  }
  return verifies ? verify(*path, manifest) : 0;
}

}  // namespace r1::apps
