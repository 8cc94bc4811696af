// The header of one safetensors file, read as if an enemy had written it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace r1::io {

/// One tensor of a file: bytes [begin, end) counted from the end of the header.
struct HeaderEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;
};

struct SafetensorsHeader {
  std::vector<HeaderEntry> entries;             // in the order of their bytes
  std::map<std::string, std::string> metadata;  // "__metadata__"
  std::size_t data_begin = 0;                   // offset of the first tensor byte in the file
};

/// Longest header that is read; the limit of the reference implementation.
inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

/// Layout of a file: u64 little-endian header length n, n bytes of JSON, tensor bytes without holes up to the end.
/// `file` is the whole file. Throws Error(kModel), naming path and tensor, for: a pickle or another format by its first
/// bytes, a length beyond the file or the limit, invalid JSON or UTF-8, a duplicate name, an unknown dtype, a negative or
/// overflowing shape, bytes that do not match shape × dtype, an overlap, a hole, bytes behind the last tensor.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, std::string_view path);

/// Product of the dimensions times the element size; nothing on a negative dimension or an overflow of 2^62.
std::optional<std::uint64_t> tensor_bytes(std::span<const std::int64_t> shape, DType dtype);

/// "[2, 3]"
std::string format_shape(std::span<const std::int64_t> shape);

}  // namespace r1::io
