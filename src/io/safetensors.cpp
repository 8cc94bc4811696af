#include "io/safetensors.h"

#include <filesystem>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "io/safetensors_header.h"

namespace r1::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

// A model folder is untrusted input: what it names must lie inside it. The Hugging Face cache is the exception, where
// snapshots/<revision>/<file> is a link to ../../blobs/<hash> of the same repository.
std::string inside_folder(const fs::path& folder, const std::string& name) {
  const fs::path path = folder / name;
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error) fail(ErrorKind::kModel, "{}: cannot read: {}", path.string(), error.message());
  const fs::path real_folder = fs::canonical(folder, error);
  if (error) fail(ErrorKind::kModel, "{}: cannot read: {}", folder.string(), error.message());
  if (real.parent_path() == real_folder) return path.string();
  const fs::path snapshots = real_folder.parent_path();
  if (snapshots.filename() == "snapshots" && real.parent_path() == snapshots.parent_path() / "blobs") return path.string();
  fail(ErrorKind::kModel, "{}: is a link that leads out of the model folder (to {}); copy the file into the folder", path.string(),
       real.string());
}

bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos && name.find('\\') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// weight_map of the index: tensor name → shard.
std::map<std::string, std::string> read_weight_map(const std::string& index_path) {
  const Json index = read_json_file(index_path, ErrorKind::kModel);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    fail(ErrorKind::kModel, "{}: expected an object with 'weight_map' (tensor name → file name)", index_path);
  }
  std::map<std::string, std::string> weight_map;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) fail(ErrorKind::kModel, "{}: weight_map['{}']: expected a file name", index_path, tensor);
    std::string name = shard.get<std::string>();
    if (!is_plain_file_name(name)) {
      fail(ErrorKind::kModel, "{}: weight_map['{}']: '{}' is not a plain file name; shards lie beside the index", index_path, tensor, name);
    }
    weight_map.emplace(tensor, std::move(name));
  }
  if (weight_map.empty()) fail(ErrorKind::kModel, "{}: weight_map is empty", index_path);
  return weight_map;
}

[[noreturn]] void fail_without_weights(const std::string& folder) {
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth"}) {
    if (fs::exists(fs::path(folder) / pickle)) {
      fail(ErrorKind::kModel,
           "{}: expected {}, found only '{}'; Python pickles can run code and are never opened: convert the model to safetensors first",
           folder, kSingleFile, pickle);
    }
  }
  fail(ErrorKind::kModel, "{}: expected {} or {}, found neither", folder, kSingleFile, kIndexFile);
}

}  // namespace

void Safetensors::add_file(const std::string& path) {
  MappedFile& file = files_.emplace_back(path, ErrorKind::kModel);
  SafetensorsHeader header = parse_safetensors_header(file.bytes(), path);
  if (files_.size() == 1) metadata_ = std::move(header.metadata);
  for (HeaderEntry& entry : header.entries) {
    const auto [found, is_new] = index_.emplace(entry.name, tensors_.size());
    if (!is_new) {
      fail(ErrorKind::kModel, "{}: tensor '{}' is also in {}; expected each tensor in one file", path, entry.name,
           tensors_[found->second].file);
    }
    const auto bytes = file.bytes().subspan(header.data_begin + entry.begin, entry.end - entry.begin);
    tensors_.push_back({std::move(entry.name), entry.dtype, std::move(entry.shape), bytes, path});
  }
}

Safetensors Safetensors::open_file(const std::string& path) {
  Safetensors opened;
  opened.path_ = path;
  opened.add_file(path);
  return opened;
}

Safetensors Safetensors::open_folder(const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) fail(ErrorKind::kModel, "{}: expected a model folder", folder);
  Safetensors opened;
  opened.path_ = folder;
  // symlink_status: a dangling link is reported as such and does not pass for a missing file
  if (fs::exists(fs::symlink_status(fs::path(folder) / kSingleFile))) {
    opened.add_file(inside_folder(folder, kSingleFile));
    return opened;
  }
  if (!fs::exists(fs::symlink_status(fs::path(folder) / kIndexFile))) fail_without_weights(folder);
  const std::string index_path = inside_folder(folder, kIndexFile);
  const auto weight_map = read_weight_map(index_path);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : weight_map) shards.insert(shard);
  opened.files_.reserve(shards.size());
  for (const std::string& shard : shards) {
    if (!fs::exists(fs::symlink_status(fs::path(folder) / shard))) {
      fail(ErrorKind::kModel, "{}: names the shard '{}', which is not in the folder; fetch the model again or complete the folder",
           index_path, shard);
    }
    opened.add_file(inside_folder(folder, shard));
  }
  for (const auto& [tensor, shard] : weight_map) {
    const StoredTensor* stored = opened.find(tensor);
    if (stored == nullptr || fs::path(stored->file).filename() != shard) {
      fail(ErrorKind::kModel, "{}: places tensor '{}' in '{}', found it {}", index_path, tensor, shard,
           stored == nullptr ? std::string("in no shard") : "in " + stored->file);
    }
  }
  for (const StoredTensor& stored : opened.tensors_) {
    if (!weight_map.contains(stored.name)) {
      fail(ErrorKind::kModel, "{}: does not name tensor '{}' of {}; index and shards do not belong together", index_path, stored.name,
           stored.file);
    }
  }
  return opened;
}

Safetensors Safetensors::open(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error) ? open_folder(path) : open_file(path);
}

const StoredTensor* Safetensors::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const StoredTensor& Safetensors::at(std::string_view name) const {
  if (const StoredTensor* stored = find(name)) return *stored;
  std::vector<std::string> names;
  for (const StoredTensor& stored : tensors_) names.push_back(stored.name);
  const auto nearest = nearest_name(name, names);
  fail(ErrorKind::kModel, "{}: expected a tensor '{}' among {}, found none{}", path_, name, tensors_.size(),
       nearest ? fmt::format("; the nearest name is '{}'", *nearest) : "");
}

std::uint64_t Safetensors::total_bytes() const {
  std::uint64_t bytes = 0;
  for (const StoredTensor& stored : tensors_) bytes += stored.bytes.size();
  return bytes;
}

}  // namespace r1::io
