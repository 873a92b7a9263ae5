// The processes that train one model together, each on a GPU of its own. They read the same batches and keep
// the same parameters: every rank computes its micro-batches, and gradients are summed before each takes the
// step.
#pragma once

#include "engine/comm/communicator.hpp"
#include "engine/comm/launch.hpp"
#include "engine/comm/watchdog.hpp"

#include <memory>

namespace rmoe {

class Ranks {
 public:
  /// One process.
  Ranks() : communicator_(std::make_unique<SingleCommunicator>()) {}
  /// Those of a launch, once all are there; `facts` must be the same on every one. With one rank nothing is
  /// done. Experts are spread over groups of `expert_parallel` ranks that follow each other, if that is
  /// not 1.
  Ranks(const Launch& launch, Device device, const std::vector<Fact>& facts, int64_t expert_parallel = 1);
  /// As many of which this one alone is there, for a rehearsal (engine/rehearsal.hpp).
  Ranks(int rank, int size, Device device, int64_t expert_parallel);

  int rank() const { return communicator_->rank(); }
  int size() const { return communicator_->size(); }
  /// Writes files and messages.
  bool is_first() const { return rank() == 0; }
  Communicator& communicator() { return *communicator_; }
  /// This rank's group; null: each has all experts.
  Communicator* expert_group() { return expert_group_.get(); }
  /// The ranks that have the same spread parameters as this one, or the same others: all of them. They sum
  /// their gradients.
  Communicator& holders(bool spread) { return spread && replicas_ ? *replicas_ : *communicator_; }

  // Every rank calls these in the same order.
  /// Element by element.
  std::vector<double> sum(std::vector<double> values);
  bool any(bool mine) { return size() == 1 ? mine : sum({mine ? 1.0 : 0.0})[0] > 0; }
  /// `part` holds this rank's share of the first dimension; returns the whole.
  Tensor gather(const Tensor& part);
  /// Waits for all collectives: what they gave is good, or this is an Error. Before anything is kept.
  void settle();

  /// Work with a deadline begins, or what takes its time: validation, checkpoints.
  void step(int64_t number);
  void rest();
  /// This rank cannot go on: the others end, and say why.
  void abort(const std::string& why);
  /// The run has ended well: nobody need wait for this rank any more.
  void finish();

 private:
  std::unique_ptr<Store> store_;
  std::unique_ptr<Communicator> communicator_, expert_group_, replicas_;
  std::unique_ptr<Watchdog> watchdog_;  // goes before them
  Device device_ = Device::cpu;
};

/// What has no others to train with.
Ranks& alone();

}  // namespace rmoe
