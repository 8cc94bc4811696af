// TensorBoard's event files: records of hand-encoded protocol buffers, each framed by its length and two checksums.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace r1::report {

/// CRC-32C (Castagnoli), as in RFC 3720 appendix B.4.
std::uint32_t crc32c(std::string_view bytes);

/// The checksum in TensorFlow's record files: rotated by 15 bits and offset, so that a checksum of checksums stays good.
std::uint32_t masked_crc32c(std::string_view bytes);

/// One record: u64 length, masked CRC of it, payload, masked CRC of the payload; little endian.
std::string frame_record(std::string_view payload);

/// Appends scalars to folder/events.out.tfevents.<unix seconds>.<host>.<pid>. Not thread-safe; throws Error(kDisk).
class EventFileWriter {
 public:
  explicit EventFileWriter(const std::string& folder);
  EventFileWriter(const EventFileWriter&) = delete;
  EventFileWriter& operator=(const EventFileWriter&) = delete;
  ~EventFileWriter();

  /// One event of several scalars, written through to the file before it returns. Values are stored as f32.
  void add_scalars(std::int64_t step, double wall_time, std::span<const std::pair<std::string, double>> scalars);
  const std::string& path() const { return path_; }

 private:
  void append(std::string_view payload);
  std::string path_;
  int file_ = -1;
};

}  // namespace r1::report
