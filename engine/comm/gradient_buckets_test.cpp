#include "engine/comm/gradient_buckets.hpp"

#include "engine/error.hpp"

#include <doctest/doctest.h>

namespace rmoe {
namespace {

/// Writes down what it is asked for.
class Recorder : public SingleCommunicator {
 public:
  void all_reduce(const Tensor& x, Reduction) override { note("all", x); }
  void reduce(const Tensor& x, int root) override { note(concat("to ", root), x); }
  void broadcast(const Tensor& x, int root) override { note(concat("from ", root), x); }
  void group(const std::function<void()>& calls) override {
    log += "(";
    calls();
    log += ")";
  }
  void begin() override { log += "b"; }
  void finish() override { log += "f"; }
  std::string log;

 private:
  void note(const std::string& what, const Tensor& x) { log += concat(what, " ", x.numel(), ";"); }
};

std::vector<Tensor> tensors(const std::vector<int64_t>& numels) {
  std::vector<Tensor> all;
  for (const int64_t n : numels) all.push_back(zeros({n}, DType::f32));
  return all;
}

}  // namespace

TEST_CASE("gradient_buckets: buckets go from the last parameter to the first, each when it is complete") {
  Recorder comm;
  const std::vector<int64_t> numels{1, 10, 2, 3, 4};
  const auto grads = tensors(numels);
  GradientBuckets buckets(comm, numels, {}, 20);  // bytes: {4, 3}, {2, 10}, {1}
  CHECK(buckets.count() == 3);
  for (int step = 0; step < 2; ++step) {
    comm.log.clear();
    buckets.ready(4, grads[4]);
    CHECK(comm.log == "");
    buckets.ready(1, grads[1]);
    buckets.ready(2, grads[2]);  // complete, but not its turn
    CHECK(comm.log == "");
    buckets.ready(3, grads[3]);
    CHECK(comm.log == "b(all 4;all 3;)b(all 2;all 10;)");
    buckets.ready(0, grads[0]);
    buckets.finish();
    CHECK(comm.log == "b(all 4;all 3;)b(all 2;all 10;)b(all 1;)f");
  }
}

TEST_CASE("gradient_buckets: sharded, every piece goes to its owner, and parameters come back from there") {
  Recorder comm;
  const std::vector<int64_t> numels{100, 60};
  const auto grads = tensors(numels);
  const ShardedRange sharded(numels, 2, 8);
  GradientBuckets buckets(comm, numels, sharded, 1);
  buckets.ready(1, grads[1]);
  buckets.ready(0, grads[0]);
  buckets.finish();
  CHECK(comm.log == "b(to 1 60;)b(to 0 80;to 1 20;)f");
  comm.log.clear();
  gather_parameters(comm, sharded, grads);
  CHECK(comm.log == "(from 0 80;from 1 20;from 1 60;)");
}

TEST_CASE("gradient_buckets: gradients that are missing, there twice or of another type are errors") {
  Recorder comm;
  const auto grads = tensors({2, 3});
  GradientBuckets buckets(comm, {2, 3});
  buckets.ready(0, grads[0]);
  CHECK_THROWS_WITH_AS(buckets.ready(0, grads[0]), "gradient_buckets: gradient 0 is ready twice", Error);
  CHECK_THROWS_WITH_AS(buckets.finish(), "gradient_buckets: gradient 1 of 2 never was ready", Error);
  CHECK_THROWS_WITH_AS(buckets.ready(1, zeros({3}, DType::bf16)),
                       "gradient_buckets: gradient 1 is bf16, not f32", Error);
}

TEST_CASE("communicator: one rank moves its own pieces") {
  SingleCommunicator comm;
  const Tensor x = from_vector<float>({1, 2, 3}, {3}), y = zeros({3}, DType::f32), z = zeros({3}, DType::f32);
  comm.all_reduce(x, Reduction::sum);
  comm.reduce_scatter(y, x);
  CHECK(y.span<float>()[2] == 3);
  comm.all_gather(z, y);
  CHECK(z.span<float>()[1] == 2);
  const int64_t rows[] = {3}, wrong[] = {2};
  const Tensor sent = from_vector<float>({4, 5, 6}, {3, 1}), received = zeros({3, 1}, DType::f32);
  comm.all_to_all(received, rows, sent, rows);
  CHECK(received.span<float>()[0] == 4);
  CHECK_THROWS_WITH_AS(comm.all_to_all(received, rows, sent, wrong),
                       "all_to_all: 2 rows to all ranks, [3,1] given", Error);
  CHECK_THROWS_AS(comm.reduce_scatter(zeros({2}, DType::f32), x), Error);
}

}  // namespace rmoe
