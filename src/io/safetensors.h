// Reading safetensors: one file, or a model folder with shards and an index. Memory-mapped: opening costs the headers alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/files.h"
#include "tensor/dtype.h"

namespace r1::io {

/// A tensor in a mapped file. The bytes live as long as the Safetensors object, and may be unaligned: copy them, or use
/// convert_to_f32 (io/element_convert.h).
struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;  // row-major, little-endian
  std::string file;                  // path of the file that holds it, for messages

  std::int64_t num_elements() const { return static_cast<std::int64_t>(bytes.size() / size_of(dtype)); }
};

/// All tensors of a file or a model folder by name. Movable; reading is thread-safe.
class Safetensors {
 public:
  /// A single file. Throws Error(kModel), naming file and tensor: see io/safetensors_header.h.
  static Safetensors open_file(const std::string& path);

  /// A folder with `model.safetensors`, else `model.safetensors.index.json` and the shards it names. Also refused: a shard
  /// name that is not a plain file name, a link that leads out of the folder (the Hugging Face cache's own `blobs` apart),
  /// a tensor that the index places in another shard, a tensor in no or in two shards.
  static Safetensors open_folder(const std::string& folder);

  /// open_folder or open_file, by what is there.
  static Safetensors open(const std::string& path);

  /// In the order of files and of bytes within them.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  /// Null when there is no such tensor.
  const StoredTensor* find(std::string_view name) const;
  /// Throws Error(kModel) with the nearest name.
  const StoredTensor& at(std::string_view name) const;
  /// "__metadata__" of the first file.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Path of the file or folder.
  const std::string& path() const { return path_; }
  std::uint64_t total_bytes() const;

 private:
  void add_file(const std::string& path);

  std::string path_;
  std::vector<MappedFile> files_;
  std::vector<StoredTensor> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace r1::io
