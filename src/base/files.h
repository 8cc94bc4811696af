// Files that are either whole under their final name or not there at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace r1 {

/// The whole file. Throws Error(kind) with the path and the reason.
std::string read_file(const std::string& path, ErrorKind kind = ErrorKind::kData);

/// Writes path + ".tmp.<pid>", fsyncs, renames, fsyncs the folder. Throws Error(kDisk) with path, reason and free bytes;
/// then no file is left under the final name that was not there before.
void write_file_atomically(const std::string& path, std::string_view content);

/// Creates the folder and its parents. Throws Error(kDisk) when that is impossible.
void make_directories(const std::string& path);

/// fsync of a directory, so that a rename inside it survives a power loss.
void sync_directory(const std::string& path);

/// Free bytes for this user on the file system that holds path (or its nearest existing parent).
std::uint64_t free_disk_bytes(const std::string& path);

/// A file that is written in pieces and gets its final name at commit(); without commit() it disappears.
/// Not thread-safe. Every failing call throws Error(kDisk) with the path and the reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(const void* data, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  std::string path_, temporary_path_;
  int file_ = -1;
};

/// Read-only memory map of a whole file; an empty file maps to an empty span.
class MappedFile {
 public:
  MappedFile() = default;
  /// Throws Error(kind) with the path and the reason.
  explicit MappedFile(const std::string& path, ErrorKind kind = ErrorKind::kData);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace r1
