#include "checkpoint/manifest.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/strings.h"

namespace r1::checkpoint {
namespace {

constexpr std::int64_t kFormat = 1;
constexpr std::string_view kHead = "{\"xxh3\":\"", kMiddle = "\",\"manifest\":\n", kTail = "\n}\n";

std::string hex_of(std::uint64_t value) { return fmt::format("{:016x}", value); }

std::uint64_t number_of(const std::string& hex, const std::string& where) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
  if (error != std::errc() || end != hex.data() + hex.size())
    fail(ErrorKind::kData, "{}: expected a hexadecimal number, found '{}'", where, hex);
  return value;
}

// Reads by calls, not through a memory map: storage that fails is then an error instead of a SIGBUS, and the holes that HDF5's alignment
// leaves take no room (a map of them does on a tmpfs, which may be full).
class FileReader {
 public:
  explicit FileReader(const std::string& path) : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (file_ < 0) fail(ErrorKind::kData, "{}: cannot open: {}", path, std::strerror(errno));
    num_bytes_ = static_cast<std::uint64_t>(std::max<off_t>(::lseek(file_, 0, SEEK_END), 0));
  }
  ~FileReader() { ::close(file_); }
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  std::uint64_t num_bytes() const { return num_bytes_; }

  /// Valid until the next read.
  std::string_view read(std::uint64_t begin, std::uint64_t size) {
    buffer_.resize(size);
    for (std::uint64_t done = 0; done < size;) {
      const ssize_t count = ::pread(file_, buffer_.data() + done, size - done, static_cast<off_t>(begin + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        fail(ErrorKind::kData, "{}: cannot read {} bytes at {}: {}", path_, size, begin,
             count == 0 ? "the file ends before" : std::strerror(errno));
      }
      done += static_cast<std::uint64_t>(count);
    }
    return buffer_;
  }

 private:
  std::string path_;
  int file_ = -1;
  std::uint64_t num_bytes_ = 0;
  std::string buffer_;
};

std::string digest(std::string_view text) {
  Xxh3Stream stream;
  stream.update(text);
  return stream.hex_digest();
}

Json to_json(const StateFile& file) {
  Json datasets = Json::array(), slices = Json::array();
  for (const DatasetEntry& dataset : file.datasets) {
    datasets.push_back(
        {{"name", dataset.name}, {"shape", dataset.shape}, {"num_elements", dataset.num_elements}, {"file_offset", dataset.file_offset}});
  }
  for (const SliceEntry& slice : file.slices) slices.push_back({slice.dataset, slice.begin, slice.end, hex_of(slice.xxh3)});
  return {{"name", file.name},
          {"num_bytes", file.num_bytes},
          {"rest_xxh3", file.rest_xxh3},
          {"datasets", std::move(datasets)},
          {"slices", std::move(slices)}};
}

StateFile state_file_from(const Json& json, const std::string& where) {
  StateFile file{json.at("name"), json.at("num_bytes"), json.at("rest_xxh3"), {}, {}};
  for (const Json& dataset : json.at("datasets")) {
    file.datasets.push_back(
        {dataset.at("name"), dataset.at("shape").get<std::vector<std::int64_t>>(), dataset.at("num_elements"), dataset.at("file_offset")});
  }
  for (const Json& slice : json.at("slices"))
    file.slices.push_back({slice.at(0), slice.at(1), slice.at(2), number_of(slice.at(3).get<std::string>(), where)});
  return file;
}

}  // namespace

void write_manifest(const std::string& folder, const Manifest& manifest) {
  Json files = Json::array(), state_files = Json::array();
  for (const FileEntry& file : manifest.files) files.push_back({{"name", file.name}, {"num_bytes", file.num_bytes}, {"xxh3", file.xxh3}});
  for (const StateFile& file : manifest.state_files) state_files.push_back(to_json(file));
  const Json body = {{"format", kFormat},
                     {"version", manifest.version},
                     {"step", manifest.step},
                     {"world_size", manifest.world_size},
                     {"state", Json::parse(manifest.state_json.empty() ? "{}" : manifest.state_json)},
                     {"state_files", std::move(state_files)},
                     {"files", std::move(files)}};
  const std::string text = body.dump(1);
  write_file_atomically(folder + "/" + kManifestName, fmt::format("{}{}{}{}{}", kHead, digest(text), kMiddle, text, kTail));
}

Manifest read_manifest(const std::string& folder) {
  const std::string path = folder + "/" + kManifestName;
  const std::string text = read_file(path);
  constexpr std::size_t kDigits = 32;
  const std::size_t begin = kHead.size() + kDigits + kMiddle.size();
  const std::string_view all = text;
  const bool is_framed = all.size() >= begin + kTail.size() && all.starts_with(kHead) && all.ends_with(kTail) &&
                         all.substr(kHead.size() + kDigits, kMiddle.size()) == kMiddle;
  if (!is_framed || digest(all.substr(begin, all.size() - begin - kTail.size())) != all.substr(kHead.size(), kDigits))
    fail(ErrorKind::kData, "{}: damaged: its checksum does not fit its text", path);
  Manifest manifest;
  try {
    const Json body = parse_json(all.substr(begin, all.size() - begin - kTail.size()), path);
    if (body.at("format") != kFormat)
      fail(ErrorKind::kData, "{}: expected format {}, found {}; another version of the suite wrote it", path, kFormat,
           body.at("format").dump());
    manifest.version = body.at("version");
    manifest.step = body.at("step");
    manifest.world_size = body.at("world_size");
    manifest.state_json = body.at("state").dump();
    for (const Json& file : body.at("state_files")) manifest.state_files.push_back(state_file_from(file, path));
    for (const Json& file : body.at("files")) manifest.files.push_back({file.at("name"), file.at("num_bytes"), file.at("xxh3")});
  } catch (const Json::exception& error) {
    fail(ErrorKind::kData, "{}: {}", path, error.what());
  }
  return manifest;
}

std::string rest_digest(const std::string& path, const std::vector<DatasetEntry>& datasets) {
  std::vector<const DatasetEntry*> in_order;
  for (const DatasetEntry& dataset : datasets) in_order.push_back(&dataset);
  std::ranges::sort(in_order, {}, [](const DatasetEntry* entry) { return entry->file_offset; });
  constexpr std::uint64_t kPiece = 1U << 20;
  FileReader file(path);
  Xxh3Stream stream;
  std::uint64_t at = 0;
  const auto feed_until = [&](std::uint64_t end) {
    if (end < at || end > file.num_bytes()) fail(ErrorKind::kData, "{}: a dataset lies outside of the file or over another", path);
    for (std::uint64_t begin = at; begin < end; begin += kPiece) stream.update(file.read(begin, std::min(kPiece, end - begin)));
  };
  for (const DatasetEntry* dataset : in_order) {
    feed_until(dataset->file_offset);
    at = dataset->file_offset + static_cast<std::uint64_t>(dataset->num_elements) * sizeof(float);
  }
  feed_until(file.num_bytes());
  return stream.hex_digest();
}

std::vector<std::string> find_damage(const std::string& folder, const Manifest& manifest, int rank, int num_ranks) {
  std::vector<std::string> damage;
  std::int64_t next = 0;
  const auto is_mine = [&] { return next++ % num_ranks == rank; };
  const auto has_size = [&](const std::string& path, std::uint64_t expected) {
    std::error_code error;
    const auto found = std::filesystem::file_size(path, error);
    if (error) {
      damage.push_back(fmt::format("{}: {}", path, error.message()));
    } else if (found != expected) {
      damage.push_back(fmt::format("{}: expected {} bytes, found {}", path, expected, found));
    }
    return !error && found == expected;
  };
  for (const StateFile& file : manifest.state_files) {
    const std::string path = folder + "/" + file.name;
    if (!has_size(path, file.num_bytes)) continue;
    FileReader reader(path);
    for (const SliceEntry& slice : file.slices) {
      if (!is_mine()) continue;
      const DatasetEntry& dataset = file.datasets.at(static_cast<std::size_t>(slice.dataset));
      const std::uint64_t begin = dataset.file_offset + static_cast<std::uint64_t>(slice.begin) * sizeof(float);
      const auto size = static_cast<std::uint64_t>(slice.end - slice.begin) * sizeof(float);
      if (begin + size > reader.num_bytes() || xxh3_64(reader.read(begin, size)) != slice.xxh3)
        damage.push_back(
            fmt::format("{}: {} [{}, {}): the bytes are not those that were written", path, dataset.name, slice.begin, slice.end));
    }
    if (is_mine() && rest_digest(path, file.datasets) != file.rest_xxh3)
      damage.push_back(fmt::format("{}: HDF5's structures are not those that were written", path));
  }
  for (const FileEntry& file : manifest.files) {
    const std::string path = folder + "/" + file.name;
    if (!is_mine() || !has_size(path, file.num_bytes)) continue;
    if (digest(MappedFile(path).text()) != file.xxh3) damage.push_back(fmt::format("{}: the bytes are not those that were written", path));
  }
  return damage;
}

}  // namespace r1::checkpoint
