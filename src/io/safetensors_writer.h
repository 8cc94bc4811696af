// Writing safetensors: one file or shards with an index, the same bytes every time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensor/dtype.h"

namespace r1::io {

struct TensorDescription {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
};

/// Row-major, little-endian bytes of a tensor; they must stay valid until the next call. Called once per tensor in the
/// order that write_order() gives, so a collective gather inside it meets its peers.
using TensorBytes = std::function<std::span<const std::byte>(const TensorDescription&)>;

using Metadata = std::map<std::string, std::string>;
inline const Metadata kTorchMetadata = {{"format", "pt"}};

/// One file. Inside it wide elements come first (then in the given order), so that every tensor is aligned. The file has
/// its final name only when it is complete and on disk. Throws Error(kDisk); Error(kInternal) for a byte count that is not
/// shape × dtype, or a name given twice.
void write_safetensors(const std::string& path, std::span<const TensorDescription> tensors, const TensorBytes& bytes_of,
                       const Metadata& metadata = kTorchMetadata);

/// Names of the files, and indices into `tensors`, in the order of writing: files in sequence, each cut before
/// max_shard_bytes would be passed (a larger tensor has a file of its own). One file is called model.safetensors, several
/// model-00001-of-0000N.safetensors.
struct ShardPlan {
  std::string file;
  std::vector<std::size_t> tensors;
};
std::vector<ShardPlan> plan_shards(std::span<const TensorDescription> tensors, std::uint64_t max_shard_bytes);

/// The tensors in the order in which write_model_folder asks for them.
std::vector<std::size_t> write_order(std::span<const TensorDescription> tensors, std::uint64_t max_shard_bytes);

/// Writes the planned files into an existing folder and, for several, model.safetensors.index.json last. Weight files of an
/// earlier save that the new one does not replace (single file or more shards) are removed after that.
void write_model_folder(const std::string& folder, std::span<const TensorDescription> tensors, const TensorBytes& bytes_of,
                        std::uint64_t max_shard_bytes = 5'000'000'000);

}  // namespace r1::io
