#include "train/ranks.hpp"

#include "engine/comm/paper_communicator.hpp"
#include "engine/cuda/backend.hpp"
#include "train/version.hpp"

#include <fmt/core.h>

namespace rmoe {

Ranks::Ranks(const Launch& launch, Device device, const std::vector<Fact>& facts, int64_t expert_parallel)
    : Ranks() {
  if (launch.size % expert_parallel != 0)
    throw UsageError(concat("train.expert_parallel: wanted a divisor of the number of ranks, ", launch.size,
                            ", got ", expert_parallel));
  if (launch.size == 1) return;
  device_ = device;
  if (device != Device::cuda)
    throw UsageError(concat("train: ", launch.size, " ranks want a GPU each; add --device cuda"));
  const int gpu = device_of(launch, cuda::device_count());
  cuda::select_device(gpu);
  fmt::print(stderr, "launch: {}, GPU {}\n", launch.text(), gpu);
  store_ = std::make_unique<Store>(launch, StoreOptions{.build = build_information()});
  check_same(*store_, facts);
  communicator_ = make_communicator(*store_, device);
  watchdog_ = std::make_unique<Watchdog>(*store_, *communicator_, Watchdog::Options{});
  if (expert_parallel == 1) return;
  const auto group = int(expert_parallel);
  expert_group_ = communicator_->split(rank() / group);
  if (group == size())
    replicas_ = std::make_unique<SingleCommunicator>();
  else
    replicas_ = communicator_->split(rank() % group);
}

Ranks::Ranks(int rank, int size, Device device, int64_t expert_parallel)
    : communicator_(std::make_unique<PaperCommunicator>(rank, size)), device_(device) {
  if (expert_parallel == 1) return;
  const auto group = int(expert_parallel);
  expert_group_ = std::make_unique<PaperCommunicator>(rank % group, group);
  replicas_ = std::make_unique<PaperCommunicator>(rank / group, size / group);
}

Ranks& alone() {
  static Ranks one;
  return one;
}

std::vector<double> Ranks::sum(std::vector<double> values) {
  if (size() == 1 || values.empty()) return values;
  const Tensor there = to(from_vector(values, {int64_t(values.size())}), device_);
  communicator_->all_reduce(there, Reduction::sum);
  const Tensor here = to(there, Device::cpu);
  return {here.data<double>(), here.data<double>() + values.size()};
}

Tensor Ranks::gather(const Tensor& part) { return size() == 1 ? part : gather_rows(*communicator_, part); }

void Ranks::settle() {
  if (size() == 1) return;
  cuda::synchronize();
  if (const std::string failure = communicator_->failure(); !failure.empty()) fail("ranks: ", failure);
}

void Ranks::step(int64_t number) {
  if (watchdog_) watchdog_->step(number);
}

void Ranks::rest() {
  if (watchdog_) watchdog_->rest();
}

void Ranks::abort(const std::string& why) {
  if (store_) store_->abort(why);
}

void Ranks::finish() {
  watchdog_.reset();
  if (store_) store_->finish();
}

}  // namespace rmoe
