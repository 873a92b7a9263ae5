// Where a tensor lives. On `meta` nothing is stored or computed: shapes, bytes and FLOPs only.
#pragma once

#include <cstdint>
#include <ostream>

namespace rmoe {

enum class Device : uint8_t { cpu, cuda, meta };
inline constexpr int kDeviceCount = 3;

constexpr const char* name_of(Device device) {
  switch (device) {
    case Device::cpu:
      return "cpu";
    case Device::cuda:
      return "cuda";
    case Device::meta:
      return "meta";
  }
  return "?";
}

inline std::ostream& operator<<(std::ostream& out, Device device) { return out << name_of(device); }

}  // namespace rmoe
