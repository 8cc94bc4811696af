// Stored bytes → values, for any alignment: a tensor in a file may begin at any byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tensor/dtype.h"

namespace r1::io {

/// bytes hold exactly values.size() elements of any dtype. Wider types are rounded to nearest; NaN stays NaN.
void convert_to_f32(DType dtype, std::span<const std::byte> bytes, std::span<float> values);

/// Integers and booleans under the same rules; a floating dtype is Error(kData), with `name` for the message.
void convert_to_i64(DType dtype, std::span<const std::byte> bytes, std::span<std::int64_t> values, std::string_view name);

}  // namespace r1::io
