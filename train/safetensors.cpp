#include "train/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

namespace rmoe {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "values are written as they lie in memory");

constexpr uint64_t kMaxHeader = 100'000'000;  // bytes: the format's limit

struct Kind {
  const char* name;
  DType dtype;    // of the tensor in memory
  int64_t width;  // bytes per value in a file
};
constexpr Kind kKinds[] = {  // in the order of a file
    {"F64", DType::f64, 8},
    {"F32", DType::f32, 4},
    {"I32", DType::i32, 4},
    {"BF16", DType::bf16, 2},
    {"F16", DType::f32, 2}};  // read only, widened

const Kind* kind_of(DType dtype) { return std::ranges::find(kKinds, dtype, &Kind::dtype); }

std::vector<const NamedTensor*> in_file_order(std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& t : tensors) order.push_back(&t);
  std::ranges::sort(order, {}, [](const NamedTensor* t) {
    return std::pair<const Kind*, const std::string&>(kind_of(t->tensor.dtype()), t->name);
  });
  return order;
}

std::string header_of(const std::vector<const NamedTensor*>& order, const Metadata& metadata) {
  ordered_json header = ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t begin = 0;
  for (const NamedTensor* t : order) {
    const Tensor& x = t->tensor;
    RMOE_CHECK(!header.contains(t->name), "tensor '", t->name, "' is named twice");
    RMOE_CHECK(x.defined() && x.device() != Device::meta, "tensor '", t->name, "' has no values");
    header[t->name] = {{"dtype", kind_of(x.dtype())->name},
                       {"shape", std::vector<int64_t>(x.shape().begin(), x.shape().end())},
                       {"data_offsets", {begin, begin + x.bytes()}}};
    begin += x.bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the values are aligned
  return text;
}

/// One tensor as the header describes it.
struct Entry {
  std::string name;
  const Kind* kind = nullptr;
  Shape shape;
  uint64_t begin = 0, end = 0;  // bytes, from the end of the header
};

/// JSON in which no object names a key twice.
json parse_strictly(const std::string& text) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  json header = json::parse(text, [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key)
      RMOE_CHECK(keys.back().insert(value).second, "header names '", value.get<std::string>(), "' twice");
    return true;
  });
  RMOE_CHECK(header.is_object(), "header is not a JSON object");
  return header;
}

json read_header(files::Reader& file) {
  const uint64_t size = file.bytes();
  RMOE_CHECK(size >= 8, "only ", size, " bytes: too short for a safetensors file");
  uint64_t length = 0;
  file.read(&length, 8);
  RMOE_CHECK(length <= kMaxHeader, "header of ", length, " bytes is larger than the format allows");
  RMOE_CHECK(length <= size - 8, "truncated: header of ", length, " bytes in a file of ", size);
  std::string text(length, '\0');
  file.read(text.data(), int64_t(length));
  RMOE_CHECK(text.starts_with('{'), "header does not start with '{'");
  try {
    return parse_strictly(text);
  } catch (const json::exception&) {
    fail("header is not valid JSON");
  }
}

uint64_t whole_number(const json& value) {
  RMOE_CHECK(value.is_number_unsigned(), "wanted a whole number, got ", value.dump());
  return value.get<uint64_t>();
}

Shape shape_of(const json& dims) {
  RMOE_CHECK(dims.is_array(), "shape is not a list");
  RMOE_CHECK(dims.size() <= Shape::kMaxRank, "has ", dims.size(), " dimensions; at most ", Shape::kMaxRank,
             " are supported");
  uint64_t numel = 1;
  Shape shape;
  for (const json& dim : dims) {
    const uint64_t n = whole_number(dim);
    RMOE_CHECK(n <= uint64_t(std::numeric_limits<int64_t>::max()) / 8 / std::max<uint64_t>(numel, 1),
               "shape ", dims.dump(), " is too large");
    numel *= n;
    shape.append(int64_t(n));
  }
  return shape;
}

Entry entry_of(const std::string& name, const json& fields) {
  RMOE_CHECK(fields.is_object() && fields.contains("dtype") && fields.contains("shape") &&
                 fields.contains("data_offsets"),
             "wanted dtype, shape and data_offsets");
  const Kind* kind = std::ranges::find(kKinds, fields["dtype"], [](const Kind& k) { return json(k.name); });
  RMOE_CHECK(kind != std::end(kKinds), "dtype ", fields["dtype"].dump(),
             " is not supported; wanted one of F64, F32, I32, BF16, F16");
  const json& offsets = fields["data_offsets"];
  RMOE_CHECK(offsets.is_array() && offsets.size() == 2, "data_offsets are not two numbers");
  Entry entry{name, kind, shape_of(fields["shape"]), whole_number(offsets[0]), whole_number(offsets[1])};
  const uint64_t wanted = entry.shape.numel() * kind->width;
  RMOE_CHECK(entry.begin <= entry.end && entry.end - entry.begin == wanted, "data_offsets ", offsets.dump(),
             " do not hold ", kind->name, entry.shape, " of ", wanted, " bytes");
  return entry;
}

/// Entries in the order of their values, which must fill the file without overlaps and holes.
std::vector<Entry> entries_of(const json& header, uint64_t bytes) {
  std::vector<Entry> entries;
  for (const auto& [name, fields] : header.items()) {
    if (name == "__metadata__") continue;
    try {
      entries.push_back(entry_of(name, fields));
    } catch (const Error& error) {
      fail("tensor '", name, "': ", error.what());
    }
  }
  std::ranges::stable_sort(entries, {}, [](const Entry& e) { return std::pair(e.begin, e.end); });
  uint64_t end = 0;
  for (const Entry& e : entries) {
    RMOE_CHECK(e.begin >= end, "tensor '", e.name, "' overlaps the one before it");
    RMOE_CHECK(e.begin <= end, "hole of ", e.begin - end, " bytes before tensor '", e.name, "'");
    RMOE_CHECK(e.end <= bytes, "tensor '", e.name, "' ends at byte ", e.end, " of ", bytes);
    end = e.end;
  }
  RMOE_CHECK(end == bytes, bytes - end, " bytes after the last tensor");
  return entries;
}

Metadata metadata_of(const json& header) {
  if (!header.contains("__metadata__")) return {};
  try {
    return header["__metadata__"].get<Metadata>();
  } catch (const json::exception&) {
    fail("__metadata__ holds more than texts");
  }
}

/// An IEEE half is s eeeee mmmmmmmmmm with bias 15; every one of them is a float.
float float_of_half(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 0x3ffu;
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * float(fraction) * 0x1p-24f;
  const uint32_t rebiased = exponent == 31 ? 255 : exponent + 127 - 15;
  return std::bit_cast<float>(sign | rebiased << 23 | fraction << 13);
}

void read_values(files::Reader& file, const Entry& entry, const Tensor& into) {
  if (entry.kind->width == size_of(into.dtype())) return file.read(into.raw(), into.bytes());
  std::vector<uint16_t> halves(size_t(into.numel()));
  file.read(halves.data(), into.numel() * entry.kind->width);
  std::ranges::transform(halves, into.data<float>(), float_of_half);
}

TensorFile read_all(files::Reader& file, Device device) {
  const json header = read_header(file);
  TensorFile result{{}, metadata_of(header)};
  // Nothing is allocated before the whole header was found to fit the file.
  for (const Entry& e : entries_of(header, uint64_t(file.bytes() - file.position()))) {
    Tensor tensor = empty(e.shape, e.kind->dtype, device);
    if (device == Device::cpu) read_values(file, e, tensor);
    result.tensors.push_back({e.name, std::move(tensor)});
  }
  return result;
}

}  // namespace

uint32_t write_safetensors(const files::Path& path, std::span<const NamedTensor> tensors,
                           const Metadata& metadata) {
  const std::vector<const NamedTensor*> order = in_file_order(tensors);
  std::string header;
  try {
    header = header_of(order, metadata);
  } catch (const std::exception& error) {  // ours, or a name that is not UTF-8
    fail("cannot write ", path.string(), ": ", error.what());
  }
  files::Writer file(path);
  const uint64_t length = header.size();
  file.write(&length, sizeof length);
  file.write(header);
  for (const NamedTensor* t : order) file.write(to(t->tensor, Device::cpu).raw(), t->tensor.bytes());
  file.sync();
  return file.crc32();
}

TensorFile read_safetensors(const files::Path& path, Device device) {
  files::Reader file(path);
  try {
    return read_all(file, device);
  } catch (const Error& error) {
    fail(path.string(), ": ", error.what());
  }
}

}  // namespace rmoe
