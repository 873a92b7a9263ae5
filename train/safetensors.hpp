// safetensors: named tensors in a file that every framework reads. A little-endian u64 N, N bytes of JSON
// that name each tensor's dtype, shape and place, then the values.
// https://github.com/huggingface/safetensors#format
#pragma once

#include "engine/files.hpp"
#include "engine/tensor.hpp"

#include <map>
#include <span>
#include <string>
#include <vector>

namespace rmoe {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

using Metadata = std::map<std::string, std::string>;

struct TensorFile {
  std::vector<NamedTensor> tensors;  // in the order of the file
  Metadata metadata;
};

/// Writes the tensors (on the CPU) and forces them to disk; returns the file's CRC-32. The bytes are those of
/// the reference writer: tensors sorted by dtype, widest first, then by name.
uint32_t write_safetensors(const files::Path& path, std::span<const NamedTensor> tensors,
                           const Metadata& metadata = {{"format", "pt"}});
/// Reads every tensor straight into its own storage; F16 becomes f32. A file that breaks a rule of the format
/// is refused. On Device::meta the values are left where they are: names, dtypes and shapes only.
TensorFile read_safetensors(const files::Path& path, Device device = Device::cpu);

}  // namespace rmoe
