// Element types of tensors and the conversions between the small floating-point formats and f32.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace r1 {

enum class DType : std::uint8_t { kF32, kF64, kBF16, kF16, kF8E4M3, kI8, kU8, kI16, kI32, kI64, kBool };

/// Bytes of one element.
std::size_t size_of(DType dtype);

/// The name as in PyTorch and config.json: float32, bfloat16, …
std::string_view dtype_name(DType dtype);
/// Accepts PyTorch's names, with or without "torch.".
std::optional<DType> dtype_from_name(std::string_view name);

/// The name as in safetensors headers: F32, BF16, …
std::string_view safetensors_name(DType dtype);
std::optional<DType> dtype_from_safetensors_name(std::string_view name);

inline float bf16_to_f32(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

/// Round to nearest, ties to even; NaN stays NaN.
inline std::uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/// IEEE binary16, round to nearest even.
float f16_to_f32(std::uint16_t bits);
std::uint16_t f32_to_f16(float value);
/// OCP e4m3fn: no infinities, 0x7F and 0xFF are NaN.
float f8e4m3_to_f32(std::uint8_t bits);
/// Round to nearest even; beyond the largest finite value it is that value, with the sign. NaN becomes 0x7F.
std::uint8_t f32_to_f8e4m3(float value);
inline constexpr float kF8E4M3Max = 448;

}  // namespace r1
