#include "train/safetensors.hpp"

#include "engine/memory.hpp"
#include "tests/folder.hpp"
#include "tests/fuzz.hpp"
#include "tests/op_case.hpp"
#include "train/test_tools.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

std::string_view bytes_of(const Tensor& x) { return {static_cast<const char*>(x.raw()), size_t(x.bytes())}; }

std::string with_header(const std::string& header, const std::string& values) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + values;
}

/// The error of reading a file of these bytes, without the file's name.
std::string refusal(const std::string& bytes) {
  const TestFolder folder;
  const files::Path path = folder / "x.safetensors";
  files::replace(path, bytes);
  const std::string text = error_of([&] { read_safetensors(path); });
  const std::string prefix = path.string() + ": ";
  REQUIRE(text.starts_with(prefix));
  return text.substr(prefix.size());
}

std::string f32(const std::string& name, const std::string& shape, int begin, int end) {
  return concat('"', name, R"(":{"dtype":"F32","shape":)", shape, R"(,"data_offsets":[)", begin, ',', end,
                "]}");
}

std::string of_tensors(const std::vector<std::string>& entries, const std::string& values) {
  std::string header;
  for (const std::string& entry : entries) header.append(header.empty() ? "{" : ",").append(entry);
  return with_header(header + "}", values);
}

}  // namespace

TEST_CASE("safetensors: one tensor gives the reference writer's bytes") {
  const TestFolder folder;
  const NamedTensor a{"a", from_vector<float>({1, 2}, {2})};
  const uint32_t crc = write_safetensors(folder / "a", {&a, 1});
  CHECK(
      hex(files::read(folder / "a")) ==
      "58000000000000007b225f5f6d657461646174615f5f223a7b22666f726d6174223a227074227d2c2261223a7b226474797065"
      "223a22463332222c227368617065223a5b325d2c22646174615f6f666673657473223a5b302c385d7d7d2020200000803f0000"
      "0040");
  CHECK(crc == files::crc32_of(folder / "a"));
}

TEST_CASE("safetensors: tensors of every dtype lie in the reference writer's order") {
  const TestFolder folder;
  const NamedTensor tensors[] = {{"h", to(from_vector<float>({1, 2, 3}, {3}), DType::bf16)},
                                 {"i", from_vector<int32_t>({7}, {1})},
                                 {"f", from_vector<float>({1, -2}, {2})},
                                 {"d", from_vector<double>({0.5}, {1})}};
  write_safetensors(folder / "a", tensors);
  CHECK(
      hex(files::read(folder / "a")) ==
      "00010000000000007b225f5f6d657461646174615f5f223a7b22666f726d6174223a227074227d2c2264223a7b226474797065"
      "223a22463634222c227368617065223a5b315d2c22646174615f6f666673657473223a5b302c385d7d2c2266223a7b22647479"
      "7065223a22463332222c227368617065223a5b325d2c22646174615f6f666673657473223a5b382c31365d7d2c2269223a7b22"
      "6474797065223a22493332222c227368617065223a5b315d2c22646174615f6f666673657473223a5b31362c32305d7d2c2268"
      "223a7b226474797065223a2242463136222c227368617065223a5b335d2c22646174615f6f666673657473223a5b32302c3236"
      "5d7d7d202020202020000000000000e03f0000803f000000c007000000803f00404040");
}

TEST_CASE("safetensors: tensors and metadata come back") {
  const TestFolder folder;
  const files::Path path = folder / "a";
  const std::vector<NamedTensor> tensors = {{"w", from_vector<float>({1, 2, 3, 4, 5, 6}, {2, 3})},
                                            {"none", from_vector<float>({}, {0, 3})},
                                            {"ü", from_vector<double>({-0.0}, {})},
                                            {"tokens", from_vector<int32_t>({-1, 5}, {2})}};
  write_safetensors(path, tensors, {{"a", "b"}, {"quote", "\"\n"}});
  const TensorFile file = read_safetensors(path);
  CHECK(file.metadata == Metadata{{"a", "b"}, {"quote", "\"\n"}});
  REQUIRE(file.tensors.size() == 4);
  for (const NamedTensor& t : tensors) {
    const auto found = std::ranges::find(file.tensors, t.name, &NamedTensor::name);
    REQUIRE(found != file.tensors.end());
    CHECK(found->tensor.shape() == t.tensor.shape());
    CHECK(found->tensor.dtype() == t.tensor.dtype());
    CHECK(bytes_of(found->tensor) == bytes_of(t.tensor));
  }
  write_safetensors(path, {}, {});
  CHECK(read_safetensors(path).tensors.empty());
}

TEST_CASE("safetensors: halves are read as the floats they are") {
  const TestFolder folder;
  // 1, -2, the largest, the largest and the smallest subnormal, -0, infinity, a NaN
  const uint16_t halves[] = {0x3c00, 0xc000, 0x7bff, 0x03ff, 0x0001, 0x8000, 0x7c00, 0x7e01};
  const std::string header = R"({"h":{"dtype":"F16","shape":[2,4],"data_offsets":[0,16]}})";
  folder.write("h", with_header(header, std::string(reinterpret_cast<const char*>(halves), sizeof halves)));
  const Tensor h = read_safetensors(folder / "h").tensors.at(0).tensor;
  CHECK(h.dtype() == DType::f32);
  CHECK(h.shape() == Shape{2, 4});
  const float wanted[] = {1, -2, 65504, 1023 * 0x1p-24f, 0x1p-24f, -0.0f, INFINITY};
  for (int i = 0; i < 7; ++i)
    CHECK(std::bit_cast<uint32_t>(h.data<float>()[i]) == std::bit_cast<uint32_t>(wanted[i]));
  CHECK(std::isnan(h.data<float>()[7]));
}

TEST_CASE("safetensors: on meta only the header is read, and the file must still be whole") {
  const TestFolder folder;
  const NamedTensor a{"a", from_vector<float>({1, 2}, {2})};
  write_safetensors(folder / "a", {&a, 1});
  const NamedTensor got = read_safetensors(folder / "a", Device::meta).tensors.at(0);
  CHECK(got.name == "a");
  CHECK(got.tensor.device() == Device::meta);
  CHECK(got.tensor.shape() == Shape{2});
  const std::string bytes = files::read(folder / "a");
  folder.write("a", bytes.substr(0, bytes.size() - 1));
  CHECK(error_of([&] {
          read_safetensors(folder / "a", Device::meta);
        }).ends_with("tensor 'a' ends at byte 8 of 7"));
}

TEST_CASE("safetensors: what cannot be written is refused before the file is touched") {
  const Tensor x = from_vector<float>({1}, {1});
  const NamedTensor twice[] = {{"a", x}, {"a", x}}, nothing[] = {{"a", Tensor()}}, garbled[] = {{"\xff", x}};
  CHECK(error_of([&] { write_safetensors("no/file", twice); }) ==
        "cannot write no/file: tensor 'a' is named twice");
  CHECK(error_of([&] { write_safetensors("no/file", nothing); }) ==
        "cannot write no/file: tensor 'a' has no values");
  CHECK(error_of([&] { write_safetensors("no/file", garbled); }).starts_with("cannot write no/file: "));
}

TEST_CASE("safetensors: a damaged header is refused") {
  const std::string a = f32("a", "[1]", 0, 4);
  CHECK(refusal("1234") == "only 4 bytes: too short for a safetensors file");
  CHECK(refusal(std::string(8, '\xff')) ==
        "header of 18446744073709551615 bytes is larger than the format allows");
  CHECK(refusal(with_header("{}", "").substr(0, 9)) == "truncated: header of 2 bytes in a file of 9");
  CHECK(refusal(with_header(" {}", "")) == "header does not start with '{'");
  CHECK(refusal(with_header("{\"a\":", "")) == "header is not valid JSON");
  CHECK(refusal(with_header(R"({"__metadata__":{"a":1}})", "")) == "__metadata__ holds more than texts");
  CHECK(refusal(of_tensors({a, f32("a", "[1]", 4, 8)}, "12345678")) == "header names 'a' twice");
}

TEST_CASE("safetensors: values must fill the file") {
  const std::string a = f32("a", "[1]", 0, 4);
  CHECK(refusal(of_tensors({a, f32("b", "[2]", 2, 10)}, "1234567890")) ==
        "tensor 'b' overlaps the one before it");
  CHECK(refusal(of_tensors({a, f32("b", "[1]", 6, 10)}, "1234567890")) ==
        "hole of 2 bytes before tensor 'b'");
  CHECK(refusal(of_tensors({a}, "12")) == "tensor 'a' ends at byte 4 of 2");
  CHECK(refusal(of_tensors({a}, "123456")) == "2 bytes after the last tensor");
}

TEST_CASE("safetensors: a tensor that makes no sense is named") {
  const auto one = [](const std::string& fields) { return with_header("{\"a\":{" + fields + "}}", "1234"); };
  CHECK(refusal(one(R"("dtype":"F32")")) == "tensor 'a': wanted dtype, shape and data_offsets");
  CHECK(refusal(one(R"("dtype":"I64","shape":[2],"data_offsets":[0,4])")) ==
        "tensor 'a': dtype \"I64\" is not supported; wanted one of F64, F32, I32, BF16, F16");
  CHECK(refusal(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])")) ==
        "tensor 'a': data_offsets [0,4] do not hold F32[2] of 8 bytes");
  CHECK(refusal(one(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])")) ==
        "tensor 'a': wanted a whole number, got -1");
  CHECK(refusal(one(R"("dtype":"F32","shape":1,"data_offsets":[0,4])")) == "tensor 'a': shape is not a list");
  CHECK(refusal(one(R"("dtype":"F32","shape":[1],"data_offsets":[4])")) ==
        "tensor 'a': data_offsets are not two numbers");
  CHECK(refusal(one(R"("dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4])")) ==
        "tensor 'a': has 7 dimensions; at most 6 are supported");
  CHECK(refusal(one(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])")) ==
        "tensor 'a': shape [4294967296,4294967296] is too large");
}

TEST_CASE("safetensors: fuzz") {
  const TestFolder folder;
  const std::vector<NamedTensor> tensors = {{"a", from_vector<float>({1, 2, 3, 4, 5, 6}, {2, 3})},
                                            {"b", to(from_vector<float>({1, 2}, {2}), DType::bf16)}};
  write_safetensors(folder / "seed", tensors);
  const std::string half = with_header(R"({"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})", "1234");
  memory::reset_peak(Device::cpu);
  const int64_t before = memory::stats(Device::cpu).in_use;
  const FuzzCounts counts = fuzz({files::read(folder / "seed"), half}, 500, [&](const std::string& bytes) {
    folder.write("x", bytes);
    read_safetensors(folder / "x");
  });
  CHECK(counts.accepted > 0);
  CHECK(counts.refused > 0);
  CHECK(memory::stats(Device::cpu).peak - before <
        1 << 16);  // no length was believed that the file does not have
}

}  // namespace rmoe::test
