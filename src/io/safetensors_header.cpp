#include "io/safetensors_header.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <tuple>
#include <unordered_set>

#include "base/error.h"

namespace r1::io {
namespace {

namespace dom = simdjson::dom;

// Formats that people rename or mistake for safetensors. Pickles run code when they are opened, so they are never read.
void refuse_other_formats(std::span<const std::byte> file, std::string_view path) {
  const std::string_view start(reinterpret_cast<const char*>(file.data()), std::min<std::size_t>(file.size(), 8));
  const bool zip = start.starts_with("PK\x03\x04");
  const bool pickle = start.size() >= 2 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5;
  // A pickle of protocol 2 to 5 is also a plausible length; a safetensors header begins with '{' at byte 8.
  const bool json_follows = file.size() > 8 && file[8] == std::byte{'{'};
  if (zip || (pickle && !json_follows)) {
    fail(ErrorKind::kModel,
         "{}: expected a safetensors file, found a Python pickle (PyTorch .bin/.pt); pickles can run code and are never opened: "
         "convert it to safetensors where it came from",
         path);
  }
  if (start.starts_with("GGUF")) fail(ErrorKind::kModel, "{}: expected a safetensors file, found a GGUF file", path);
  if (start.starts_with("version ")) {
    fail(ErrorKind::kModel, "{}: expected a safetensors file, found a Git LFS pointer: the weights themselves were not fetched", path);
  }
}

std::uint64_t read_length(std::span<const std::byte> file, std::string_view path) {
  if (file.size() < 8) {
    fail(ErrorKind::kModel, "{}: expected a safetensors file of at least 8 bytes, found {} bytes: truncated?", path, file.size());
  }
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<std::uint64_t>(file[static_cast<std::size_t>(i)]);
  if (length > kMaxHeaderBytes) {
    fail(ErrorKind::kModel, "{}: header length is {} bytes; at most {} are read: not a safetensors file, or damaged", path, length,
         kMaxHeaderBytes);
  }
  if (length > file.size() - 8) {
    fail(ErrorKind::kModel, "{}: header length is {} bytes, but only {} bytes follow it in the file: truncated", path, length,
         file.size() - 8);
  }
  return length;
}

[[noreturn]] void fail_tensor(std::string_view path, std::string_view name, const std::string& problem) {
  fail(ErrorKind::kModel, "{}: tensor '{}': {}", path, name, problem);
}

std::uint64_t offset_of(dom::element value, std::string_view path, std::string_view name) {
  std::uint64_t offset = 0;
  if (value.get(offset) != simdjson::SUCCESS) fail_tensor(path, name, "data_offsets: expected two non-negative integers");
  return offset;
}

HeaderEntry parse_entry(std::string_view path, std::string_view name, dom::element value) {
  HeaderEntry entry;
  entry.name = name;
  dom::object fields;
  if (value.get(fields) != simdjson::SUCCESS) fail_tensor(path, name, "expected an object with dtype, shape and data_offsets");
  bool has_dtype = false, has_shape = false, has_offsets = false;
  auto take = [&](bool& seen, std::string_view key) {
    if (seen) fail_tensor(path, name, fmt::format("'{}' stands twice", key));
    seen = true;
  };
  for (const auto [key, field] : fields) {
    if (key == "dtype") {
      take(has_dtype, key);
      std::string_view text;
      if (field.get(text) != simdjson::SUCCESS) fail_tensor(path, name, "dtype: expected a text such as \"F32\"");
      const auto dtype = dtype_from_safetensors_name(text);
      if (!dtype)
        fail_tensor(
            path, name,
            fmt::format("dtype: '{}' is not supported; supported are F32, F64, F16, BF16, F8_E4M3, I8, I16, I32, I64, U8 and BOOL", text));
      entry.dtype = *dtype;
    } else if (key == "shape") {
      take(has_shape, key);
      dom::array dimensions;
      if (field.get(dimensions) != simdjson::SUCCESS) fail_tensor(path, name, "shape: expected a list of integers");
      for (const dom::element dimension : dimensions) {
        std::int64_t size = 0;
        if (dimension.get(size) != simdjson::SUCCESS || size < 0) {
          fail_tensor(path, name, "shape: expected non-negative integers below 2^63");
        }
        entry.shape.push_back(size);
      }
    } else if (key == "data_offsets") {
      take(has_offsets, key);
      dom::array offsets;
      if (field.get(offsets) != simdjson::SUCCESS || offsets.size() != 2) {
        fail_tensor(path, name, "data_offsets: expected two non-negative integers");
      }
      entry.begin = offset_of(offsets.at(0).value(), path, name);
      entry.end = offset_of(offsets.at(1).value(), path, name);
    }
  }
  if (!has_dtype || !has_shape || !has_offsets) {
    fail_tensor(path, name,
                fmt::format("expected dtype, shape and data_offsets; {} is missing", !has_dtype   ? "dtype"
                                                                                     : !has_shape ? "shape"
                                                                                                  : "data_offsets"));
  }
  if (entry.begin > entry.end)
    fail_tensor(path, name, fmt::format("data_offsets [{}, {}]: the end lies before the begin", entry.begin, entry.end));
  const auto expected = tensor_bytes(entry.shape, entry.dtype);
  if (!expected) fail_tensor(path, name, fmt::format("shape {} is impossibly large", format_shape(entry.shape)));
  if (*expected != entry.end - entry.begin) {
    fail_tensor(path, name,
                fmt::format("shape {} of {} needs {} bytes, data_offsets give {}", format_shape(entry.shape), safetensors_name(entry.dtype),
                            *expected, entry.end - entry.begin));
  }
  return entry;
}

void parse_metadata(std::string_view path, dom::element value, std::map<std::string, std::string>& metadata) {
  dom::object fields;
  if (value.get(fields) != simdjson::SUCCESS) fail(ErrorKind::kModel, "{}: __metadata__: expected an object of texts", path);
  for (const auto [key, field] : fields) {
    std::string_view text;
    if (field.get(text) != simdjson::SUCCESS) fail(ErrorKind::kModel, "{}: __metadata__: '{}': expected a text", path, key);
    if (!metadata.emplace(key, text).second) fail(ErrorKind::kModel, "{}: __metadata__: '{}' stands twice", path, key);
  }
}

// The bytes of the tensors must tile the rest of the file: an overlap or a hole is damage or an attempt to hide something.
void check_tiling(std::string_view path, std::vector<HeaderEntry>& entries, std::uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(),
            [](const HeaderEntry& a, const HeaderEntry& b) { return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name); });
  std::uint64_t reached = 0;
  for (const HeaderEntry& entry : entries) {
    if (entry.end > data_bytes) {
      fail_tensor(path, entry.name,
                  fmt::format("data_offsets end at byte {}, but the file has only {} bytes of data: truncated", entry.end, data_bytes));
    }
    if (entry.begin < reached)
      fail_tensor(path, entry.name, fmt::format("its bytes overlap another tensor's (begin {}, expected {})", entry.begin, reached));
    if (entry.begin > reached) fail_tensor(path, entry.name, fmt::format("a hole of {} bytes lies before its data", entry.begin - reached));
    reached = entry.end;
  }
  if (reached != data_bytes) {
    fail(ErrorKind::kModel, "{}: {} bytes follow the last tensor's data (expected a file of {} data bytes, found {})", path,
         data_bytes - reached, reached, data_bytes);
  }
}

}  // namespace

std::optional<std::uint64_t> tensor_bytes(std::span<const std::int64_t> shape, DType dtype) {
  constexpr std::uint64_t kLimit = std::uint64_t{1} << 62;
  std::uint64_t bytes = size_of(dtype);
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) {
      empty = true;
    } else if (bytes > kLimit / static_cast<std::uint64_t>(size)) {
      return std::nullopt;
    } else {
      bytes *= static_cast<std::uint64_t>(size);
    }
  }
  return empty ? 0 : bytes;
}

std::string format_shape(std::span<const std::int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, std::string_view path) {
  refuse_other_formats(file, path);
  const std::uint64_t length = read_length(file, path);
  SafetensorsHeader header;
  header.data_begin = 8 + length;
  const char* text = reinterpret_cast<const char*>(file.data()) + 8;
  if (length == 0 || text[0] != '{')
    fail(ErrorKind::kModel, "{}: header does not begin with '{{': not a safetensors file, or damaged", path);

  dom::parser parser;
  const simdjson::padded_string padded(text, length);
  // A header nests three levels deep; more is refused by the parser before any of it is built.
  if (parser.allocate(length, 8) != simdjson::SUCCESS) fail(ErrorKind::kMemory, "{}: no memory for a header of {} bytes", path, length);
  dom::object tensors;
  if (const auto error = parser.parse(padded).get(tensors); error != simdjson::SUCCESS) {
    fail(ErrorKind::kModel, "{}: header is not a valid JSON object: {}", path, simdjson::error_message(error));
  }
  std::unordered_set<std::string_view> names;
  for (const auto [key, value] : tensors) {
    if (!names.insert(key).second) fail_tensor(path, key, "the name stands twice in the header");
    if (key == "__metadata__") {
      parse_metadata(path, value, header.metadata);
    } else {
      header.entries.push_back(parse_entry(path, key, value));
    }
  }
  check_tiling(path, header.entries, file.size() - header.data_begin);
  return header;
}

}  // namespace r1::io
