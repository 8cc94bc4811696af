#include "io/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/profile.h"

namespace r1::io {
namespace {

constexpr std::string_view kMagic = "R1JRNL01";
constexpr std::uint32_t kGuard = 0x52314A52;
constexpr std::uint64_t kMaxRecordBytes = std::uint64_t{1} << 30;

struct RecordHeader {
  std::uint32_t length = 0, guard = 0;
  std::uint64_t checksum = 0;
};
static_assert(sizeof(RecordHeader) == 16);

[[noreturn]] void fail_write(const std::string& path, const char* action, int error) {
  fail(ErrorKind::kDisk, "{}: cannot {}: {} ({} bytes free there)", path, action, std::strerror(error), free_disk_bytes(path));
}

enum class RecordState { kWhole, kTorn, kDamaged };

// The record at `offset`; torn when it reaches the end of the file or beyond without being whole.
RecordState read_record(std::string_view text, std::uint64_t offset, std::string_view& record) {
  RecordHeader header;
  if (text.size() - offset < sizeof header) return RecordState::kTorn;
  std::memcpy(&header, text.data() + offset, sizeof header);
  if ((header.length ^ kGuard) != header.guard || header.length > kMaxRecordBytes) {
    // A file that grew before its data reached the disk ends in zeros.
    return text.find_first_not_of('\0', offset) == std::string_view::npos ? RecordState::kTorn : RecordState::kDamaged;
  }
  const std::uint64_t end = offset + sizeof header + header.length;
  if (end > text.size()) return RecordState::kTorn;
  record = text.substr(offset + sizeof header, header.length);
  if (xxh3_64(record, offset) == header.checksum) return RecordState::kWhole;
  return end == text.size() ? RecordState::kTorn : RecordState::kDamaged;
}

struct Scan {
  std::int64_t num_records = 0;
  std::uint64_t end = 0;  // of the last whole record
  bool damaged = false;
};

Scan scan_records(std::string_view text, const std::string& path, const Journal::Visitor& visit) {
  Scan scan;
  if (text.size() < kMagic.size()) {
    if (!kMagic.starts_with(text)) fail(ErrorKind::kData, "{}: expected a journal, found another kind of file", path);
    return scan;  // killed while creating it
  }
  if (!text.starts_with(kMagic))
    fail(ErrorKind::kData, "{}: expected a journal (it begins with {}), found another kind of file", path, kMagic);
  scan.end = kMagic.size();
  while (scan.end < text.size()) {
    std::string_view record;
    const RecordState state = read_record(text, scan.end, record);
    if (state != RecordState::kWhole) {
      scan.damaged = state == RecordState::kDamaged;
      break;
    }
    if (visit) visit(record);
    scan.end += sizeof(RecordHeader) + record.size();
    ++scan.num_records;
  }
  return scan;
}

bool write_all(int file, const char* data, std::size_t size, int& error) {
  while (size > 0) {
    const ssize_t count = ::write(file, data, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      error = count < 0 ? errno : ENOSPC;
      return false;
    }
    data += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

}  // namespace

JournalRecovery Journal::read(const std::string& path, const Visitor& visit) {
  const MappedFile file(path);
  const Scan scan = scan_records(file.text(), path, visit);
  return {scan.num_records, file.text().size() - scan.end, {}};
}

Journal::Journal(const std::string& path, SyncPolicy policy, const Visitor& visit) : path_(path), policy_(policy) {
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0) fail_write(path, "open this journal", errno);
  try {
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      fail(ErrorKind::kDisk, "{}: another process is writing this journal; wait for it or choose another output folder", path);
    }
    Scan scan;
    std::uint64_t size = 0;
    {
      const MappedFile mapped(path);
      size = mapped.text().size();
      scan = scan_records(mapped.text(), path, visit);
      if (scan.damaged) {
        recovery_.saved_tail = fmt::format("{}.damaged-{}", path, scan.end);
        write_file_atomically(recovery_.saved_tail, mapped.text().substr(scan.end));
        log::warning("{}: damaged at byte {}: the {} whole records before it are used, the {} bytes behind were moved to {}", path,
                     scan.end, scan.num_records, size - scan.end, recovery_.saved_tail);
      }
    }
    recovery_.num_records = scan.num_records;
    recovery_.cut_bytes = size - scan.end;
    end_ = scan.end;
    if (size > end_ && ::ftruncate(file_, static_cast<off_t>(end_)) != 0) fail_write(path, "cut the torn end of this journal", errno);
    if (::lseek(file_, static_cast<off_t>(end_), SEEK_SET) < 0) fail_write(path, "seek in this journal", errno);
    if (end_ == 0) {
      int error = 0;
      if (!write_all(file_, kMagic.data(), kMagic.size(), error)) fail_write(path, "write", error);
      end_ = kMagic.size();
      const std::string folder = std::filesystem::path(path).parent_path().string();
      sync_directory(folder.empty() ? "." : folder);
    }
    unsynced_ = true;
    sync();
  } catch (...) {
    ::close(file_);
    throw;
  }
}

Journal::~Journal() {
  if (unsynced_ && ::fdatasync(file_) != 0) log::warning("{}: the last records may not be on disk: {}", path_, std::strerror(errno));
  ::close(file_);
}

void Journal::append(std::string_view record) {
  R1_ASSERT(record.size() <= kMaxRecordBytes, "a journal record over 1 GiB");
  RecordHeader header;
  header.length = static_cast<std::uint32_t>(record.size());
  header.guard = header.length ^ kGuard;
  header.checksum = xxh3_64(record, end_);
  std::string bytes(sizeof header + record.size(), '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  if (!record.empty()) std::memcpy(bytes.data() + sizeof header, record.data(), record.size());
  int error = 0;
  if (!write_all(file_, bytes.data(), bytes.size(), error)) {
    // Cut the part that was written; should even that fail, the next open recognises it as torn.
    if (::ftruncate(file_, static_cast<off_t>(end_)) != 0 || ::lseek(file_, static_cast<off_t>(end_), SEEK_SET) < 0) {
      log::warning("{}: a partly written record could not be cut: {}", path_, std::strerror(errno));
    }
    fail_write(path_, "append a record", error);
  }
  end_ += bytes.size();
  unsynced_ = true;
  if (now_seconds() - last_sync_ >= policy_.interval_seconds) sync();
}

void Journal::sync() {
  if (!unsynced_) return;
  if (::fdatasync(file_) != 0) fail_write(path_, "fsync", errno);
  unsynced_ = false;
  last_sync_ = now_seconds();
}

}  // namespace r1::io
