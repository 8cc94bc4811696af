#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace r1 {
namespace {

[[noreturn]] void fail_write(const std::string& path, const char* action, int error) {
  fail(ErrorKind::kDisk, "{}: cannot {}: {} ({} bytes free there); choose another folder or make room", path, action, std::strerror(error),
       free_disk_bytes(path));
}

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

std::string read_file(const std::string& path, ErrorKind kind) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(kind, "{}: cannot read: {}", path, std::strerror(errno));
  std::string content;
  struct stat info {};
  if (::fstat(file, &info) == 0 && S_ISDIR(info.st_mode)) {
    ::close(file);
    fail(kind, "{}: expected a file, found a folder", path);
  }
  content.reserve(static_cast<std::size_t>(info.st_size));
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(file, buffer, sizeof buffer);
    if (count == 0) break;
    if (count < 0) {
      if (errno == EINTR) continue;
      const int error = errno;
      ::close(file);
      fail(kind, "{}: cannot read: {}", path, std::strerror(error));
    }
    content.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(file);
  return content;
}

void write_file_atomically(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

void make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || !std::filesystem::is_directory(path)) {
    fail(ErrorKind::kDisk, "{}: cannot create this folder: {}", path, error ? error.message() : "a file of that name is in the way");
  }
}

void sync_directory(const std::string& path) {
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail_write(path, "open the folder", errno);
  const int result = ::fsync(folder);
  const int error = errno;
  ::close(folder);
  if (result != 0 && error != EINVAL) fail_write(path, "fsync the folder", error);
}

std::uint64_t free_disk_bytes(const std::string& path) {
  std::filesystem::path where = std::filesystem::absolute(path);
  struct statvfs info {};
  while (::statvfs(where.c_str(), &info) != 0) {
    if (where == where.parent_path()) return 0;
    where = where.parent_path();
  }
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  temporary_path_ = path_ + ".tmp." + std::to_string(::getpid());
  file_ = ::open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) fail_write(path_, "create this file", errno);
}

AtomicFile::~AtomicFile() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(temporary_path_.c_str());
}

void AtomicFile::write(const void* data, std::size_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t count = ::write(file_, bytes, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail_write(path_, "write", count < 0 ? errno : ENOSPC);
    bytes += count;
    size -= static_cast<std::size_t>(count);
  }
}

void AtomicFile::commit() {
  if (::fsync(file_) != 0) fail_write(path_, "fsync", errno);
  const int file = std::exchange(file_, -1);
  if (::close(file) != 0 || ::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary_path_.c_str());
    fail_write(path_, "give this file its final name", error);
  }
  sync_directory(parent_of(path_));
}

MappedFile::MappedFile(const std::string& path, ErrorKind kind) : path_(path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(kind, "{}: cannot read: {}", path, std::strerror(errno));
  struct stat info {};
  if (::fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(file);
    fail(kind, "{}: expected a regular file", path);
  }
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ > 0) {
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    const int error = errno;
    if (mapped == MAP_FAILED) {
      ::close(file);
      fail(kind, "{}: cannot map {} bytes: {}", path, size_, std::strerror(error));
    }
    data_ = static_cast<const std::byte*>(mapped);
  }
  ::close(file);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace r1
