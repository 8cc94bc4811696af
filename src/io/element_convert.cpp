#include "io/element_convert.h"

#include <cstring>

#include "base/error.h"

namespace r1::io {
namespace {

template <typename Stored, typename Value, typename Convert>
void convert_each(std::span<const std::byte> bytes, std::span<Value> values, Convert convert) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof stored, sizeof stored);
    values[i] = static_cast<Value>(convert(stored));
  }
}

template <typename Stored, typename Value>
void convert_each(std::span<const std::byte> bytes, std::span<Value> values) {
  convert_each<Stored>(bytes, values, [](Stored stored) { return static_cast<Value>(stored); });
}

// The integer dtypes; false for a floating one.
template <typename Value>
bool convert_integers(DType dtype, std::span<const std::byte> bytes, std::span<Value> values) {
  switch (dtype) {
    case DType::kBool:
    case DType::kU8:
      convert_each<std::uint8_t>(bytes, values);
      return true;
    case DType::kI8:
      convert_each<std::int8_t>(bytes, values);
      return true;
    case DType::kI16:
      convert_each<std::int16_t>(bytes, values);
      return true;
    case DType::kI32:
      convert_each<std::int32_t>(bytes, values);
      return true;
    case DType::kI64:
      convert_each<std::int64_t>(bytes, values);
      return true;
    default:
      return false;
  }
}

}  // namespace

void convert_to_f32(DType dtype, std::span<const std::byte> bytes, std::span<float> values) {
  R1_ASSERT(bytes.size() == values.size() * size_of(dtype), "byte count does not match the number of values");
  if (values.empty() || convert_integers(dtype, bytes, values)) return;
  switch (dtype) {
    case DType::kF32:
      std::memcpy(values.data(), bytes.data(), bytes.size());
      return;
    case DType::kBF16:
      convert_each<std::uint16_t>(bytes, values, bf16_to_f32);
      return;
    case DType::kF16:
      convert_each<std::uint16_t>(bytes, values, f16_to_f32);
      return;
    case DType::kF8E4M3:
      convert_each<std::uint8_t>(bytes, values, f8e4m3_to_f32);
      return;
    case DType::kF64:
      convert_each<double>(bytes, values);
      return;
    default:
      R1_ASSERT(false, "a dtype without a conversion");
  }
}

void convert_to_i64(DType dtype, std::span<const std::byte> bytes, std::span<std::int64_t> values, std::string_view name) {
  R1_ASSERT(bytes.size() == values.size() * size_of(dtype), "byte count does not match the number of values");
  if (!convert_integers(dtype, bytes, values)) {
    fail(ErrorKind::kData, "{}: expected an integer dtype (I64, I32, …), found {}", name, safetensors_name(dtype));
  }
}

}  // namespace r1::io
