// An append-only file of records that survives being killed: what was appended and synced is there afterwards, a torn last
// record is recognised and cut.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace r1::io {

/// When a record is on disk for certain.
struct SyncPolicy {
  /// fdatasync after so many seconds since the last one, checked at each append; 0: after every record. Close always syncs.
  double interval_seconds = 5;
};

/// What opening an existing journal found.
struct JournalRecovery {
  std::int64_t num_records = 0;
  std::uint64_t cut_bytes = 0;  // of a torn or damaged tail, no longer in the file
  std::string saved_tail;       // where a damaged tail of more than one record was put; empty otherwise
};

/// Layout: 8 bytes "R1JRNL01", then records: u32 length, u32 guard (length ^ 0x52314A52), u64 xxh3 of the payload seeded with the
/// record's offset, payload. Little-endian. The offset in the seed makes a displaced copy of a record invalid.
/// One writer per file (held by a lock where the file system has locks). Not thread-safe.
class Journal {
 public:
  using Visitor = std::function<void(std::string_view record)>;

  /// Opens for appending, creates when missing. Existing records go to `visit` in order (may be empty). A torn tail is cut off; when
  /// the damage lies before the last record, the cut bytes are kept beside the journal as <path>.damaged-<offset> and a warning is
  /// logged. Throws Error(kData) when the file is no journal, Error(kDisk) when it cannot be written or another process has it.
  Journal(const std::string& path, SyncPolicy policy, const Visitor& visit = {});
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// Appends one record of at most 1 GiB. When it cannot be written whole (disk full, quota), the file is cut back to the record
  /// before and Error(kDisk) is thrown; the journal stays usable.
  void append(std::string_view record);
  /// Everything appended so far is on disk when this returns.
  void sync();

  const JournalRecovery& recovery() const { return recovery_; }
  const std::string& path() const { return path_; }

  /// Reads without locking or changing the file; a torn tail is left out.
  static JournalRecovery read(const std::string& path, const Visitor& visit);

 private:
  std::string path_;
  SyncPolicy policy_;
  JournalRecovery recovery_;
  int file_ = -1;
  std::uint64_t end_ = 0;
  double last_sync_ = 0;
  bool unsynced_ = false;
};

}  // namespace r1::io
