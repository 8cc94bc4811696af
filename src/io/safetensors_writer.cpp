#include "io/safetensors_writer.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "io/safetensors_header.h"

namespace r1::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

std::uint64_t bytes_of_tensor(const TensorDescription& tensor) {
  const auto bytes = tensor_bytes(tensor.shape, tensor.dtype);
  R1_ASSERT(bytes, "a tensor to be written has an impossible shape: " + tensor.name);
  return *bytes;
}

// Header JSON, padded with spaces so that the data begins at a multiple of 8.
std::string header_text(std::span<const TensorDescription> tensors, std::span<const std::size_t> order, const Metadata& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const std::size_t index : order) {
    const TensorDescription& tensor = tensors[index];
    R1_ASSERT(!header.contains(tensor.name), "a tensor name is written twice: " + tensor.name);
    const std::uint64_t end = offset + bytes_of_tensor(tensor);
    header[tensor.name] = {{"dtype", safetensors_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = to_json_line(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

void write_file(const std::string& path, std::span<const TensorDescription> tensors, std::span<const std::size_t> order,
                const TensorBytes& bytes_of, const Metadata& metadata) {
  const std::string header = header_text(tensors, order, metadata);
  char length[8];
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  AtomicFile file(path);
  file.write(length, sizeof length);
  file.write(header);
  for (const std::size_t index : order) {
    const std::span<const std::byte> bytes = bytes_of(tensors[index]);
    R1_ASSERT(bytes.size() == bytes_of_tensor(tensors[index]), "bytes of a tensor do not match its shape: " + tensors[index].name);
    file.write(bytes.data(), bytes.size());
  }
  file.commit();
}

void sort_for_alignment(std::span<const TensorDescription> tensors, std::vector<std::size_t>& order) {
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return size_of(tensors[a].dtype) > size_of(tensors[b].dtype); });
}

bool is_weight_file(const std::string& name) {
  if (name == kSingleFile || name == kIndexFile) return true;
  // model-00001-of-00002.safetensors
  return name.size() == 32 && name.starts_with("model-") && name.substr(11, 4) == "-of-" && name.ends_with(".safetensors");
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const TensorDescription> tensors, const TensorBytes& bytes_of,
                       const Metadata& metadata) {
  std::vector<std::size_t> order(tensors.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  sort_for_alignment(tensors, order);
  write_file(path, tensors, order, bytes_of, metadata);
}

std::vector<ShardPlan> plan_shards(std::span<const TensorDescription> tensors, std::uint64_t max_shard_bytes) {
  std::vector<ShardPlan> shards(1);
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t bytes = bytes_of_tensor(tensors[i]);
    if (!shards.back().tensors.empty() && size + bytes > max_shard_bytes) {
      shards.emplace_back();
      size = 0;
    }
    shards.back().tensors.push_back(i);
    size += bytes;
  }
  for (std::size_t i = 0; i < shards.size(); ++i) {
    shards[i].file = shards.size() == 1 ? kSingleFile : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    sort_for_alignment(tensors, shards[i].tensors);
  }
  return shards;
}

std::vector<std::size_t> write_order(std::span<const TensorDescription> tensors, std::uint64_t max_shard_bytes) {
  std::vector<std::size_t> order;
  for (const ShardPlan& shard : plan_shards(tensors, max_shard_bytes))
    order.insert(order.end(), shard.tensors.begin(), shard.tensors.end());
  return order;
}

void write_model_folder(const std::string& folder, std::span<const TensorDescription> tensors, const TensorBytes& bytes_of,
                        std::uint64_t max_shard_bytes) {
  const std::vector<ShardPlan> shards = plan_shards(tensors, max_shard_bytes);
  std::set<std::string> written;
  Json index = {{"metadata", {{"total_size", 0}}}, {"weight_map", Json::object()}};
  std::uint64_t total_bytes = 0;
  for (const ShardPlan& shard : shards) {
    write_file((fs::path(folder) / shard.file).string(), tensors, shard.tensors, bytes_of, kTorchMetadata);
    written.insert(shard.file);
    for (const std::size_t i : shard.tensors) {
      index["weight_map"][tensors[i].name] = shard.file;
      total_bytes += bytes_of_tensor(tensors[i]);
    }
  }
  if (shards.size() > 1) {
    index["metadata"]["total_size"] = total_bytes;
    write_file_atomically((fs::path(folder) / kIndexFile).string(), index.dump(2) + "\n");
    written.insert(kIndexFile);
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (is_weight_file(name) && !written.contains(name)) fs::remove(entry.path());
  }
}

}  // namespace r1::io
