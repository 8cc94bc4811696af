// Where a tensor's bytes live.
#pragma once

#include <cstdint>

namespace r1 {

enum class DeviceKind : std::uint8_t {
  kHost,  // always readable by any code: ids, tables, metrics, staging
  kCpu,   // tensors of the CPU backend: touched by ops alone (a test device makes other accesses fault)
  kCuda,
};

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;
  friend bool operator==(Device, Device) = default;
};

inline constexpr Device kHostDevice{DeviceKind::kHost, 0};
inline constexpr Device kCpuDevice{DeviceKind::kCpu, 0};

}  // namespace r1
