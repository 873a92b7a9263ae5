#include "train/metrics.hpp"

#include "tests/folder.hpp"

#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <random>

namespace rmoe::test {

TEST_CASE("metrics: a line of JSON, in order") {
  CHECK(json_line(7, {{"loss", 0.1}, {"tokens", int64_t(5)}, {"best", true}, {"note", "a\"b"}}) ==
        R"({"step":7,"loss":0.1,"tokens":5,"best":true,"note":"a\"b"})");
  CHECK(
      json_line(
          7, {{"loss", NAN}, {"load", std::vector<double>{1, INFINITY}}, {"none", std::vector<double>()}}) ==
      R"({"step":7,"loss":null,"load":[1.0,null],"none":[]})");
}

TEST_CASE("metrics: numbers read back to the same bits") {
  std::mt19937_64 bits(1);
  for (int i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(bits());
    if (!std::isfinite(value)) continue;
    const double back = nlohmann::json::parse(json_line(1, {{"x", value}}))["x"];
    REQUIRE(std::bit_cast<uint64_t>(back) == std::bit_cast<uint64_t>(value));
  }
}

TEST_CASE("metrics: a resumed run drops what came after, and a torn line") {
  const TestFolder folder;
  const files::Path path = folder / "metrics.jsonl";
  {
    MetricsWriter writer(path);
    for (int64_t step : {1, 2, 3}) writer.write(step, {{"loss", 1.0 / double(step)}});
    writer.write(2, {{"valid_loss", 0.3}});
    writer.sync();
  }
  files::Writer(path, files::Writer::Mode::append).write("{\"step\":2,\"lo");
  {
    MetricsWriter writer(path, 2);
    writer.write(3, {{"loss", 0.25}});
  }
  CHECK(files::read(path) ==
        "{\"step\":1,\"loss\":1.0}\n{\"step\":2,\"loss\":0.5}\n{\"step\":2,\"valid_loss\":0.3}\n"
        "{\"step\":3,\"loss\":0.25}\n");
  MetricsWriter(path, 100).write(4, {});
  CHECK(files::read(path).ends_with("0.25}\n{\"step\":4}\n"));
  MetricsWriter fresh(path);
  CHECK(files::read(path).empty());
  files::remove(path);
  MetricsWriter(path, 5).write(6, {});
  CHECK(files::read(path) == "{\"step\":6}\n");
}

}  // namespace rmoe::test
