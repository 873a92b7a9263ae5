// What ranks do together with tensors. All ranks call the same collectives with the same sizes in the same
// order; on a device they are enqueued and return at once. f32, f64, i32 and bf16.
//
//   comm.all_reduce(loss);      // in the order of cuda::stream(): what is enqueued next sees it
//
//   comm.begin();               // from here on beside the stream: a group starts when what was enqueued
//   comm.group([&] { for (g : bucket) comm.all_reduce(g); });      // before it is done
//   ... more of backward ...
//   comm.finish();              // what is enqueued from here on sees their results
#pragma once

#include "engine/comm/store.hpp"
#include "engine/tensor.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rmoe {

enum class Reduction { sum, max };

/// For messages about ranks that wait in vain.
struct CollectiveProgress {
  int64_t begun = 0, finished = 0;
  std::string last;  // "all_reduce of f32 [10]"
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // In place: over all ranks, for all or for one of them (the others keep what they have); from one to all.
  virtual void all_reduce(const Tensor& x, Reduction reduction = Reduction::sum) = 0;
  virtual void reduce(const Tensor& x, int root) = 0;
  virtual void broadcast(const Tensor& x, int root) = 0;
  /// `all` holds a piece per rank, one behind the other: its sum over all ranks comes to this rank's `piece`,
  /// or every rank's `piece` comes to `all`. `piece` may be the rank's own place in `all`.
  virtual void reduce_scatter(const Tensor& piece, const Tensor& all) = 0;
  virtual void all_gather(const Tensor& all, const Tensor& piece) = 0;
  /// Rows for every rank, and from every rank, one rank behind the other.
  virtual void all_to_all(const Tensor& received, std::span<const int64_t> rows_from, const Tensor& sent,
                          std::span<const int64_t> rows_to) = 0;

  /// The ranks that give the same colour, in the order of their ranks here. Every rank calls it; the host
  /// waits for the others. What is enqueued on either is done in that order. Progress, failures and abort()
  /// are of both.
  virtual std::unique_ptr<Communicator> split(int colour) = 0;

  /// The collectives of this communicator that `calls` enqueues become one launch.
  virtual void group(const std::function<void()>& calls) = 0;
  virtual void begin() = 0;  // may be repeated
  virtual void finish() = 0;

  // For a watchdog, from its own thread.
  virtual CollectiveProgress progress() = 0;
  /// What went wrong in the background, "" if nothing did. To be asked before results are kept, too.
  virtual std::string failure() = 0;
  /// What waits for other ranks gives up. Nothing else may be called after it.
  virtual void abort() = 0;
};

/// One rank: all is done already.
class SingleCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce(const Tensor&, Reduction) override {}
  void reduce(const Tensor&, int) override {}
  void broadcast(const Tensor&, int) override {}
  void reduce_scatter(const Tensor& piece, const Tensor& all) override;
  void all_gather(const Tensor& all, const Tensor& piece) override;
  void all_to_all(const Tensor& received, std::span<const int64_t> rows_from, const Tensor& sent,
                  std::span<const int64_t> rows_to) override;
  std::unique_ptr<Communicator> split(int) override { return std::make_unique<SingleCommunicator>(); }
  void group(const std::function<void()>& calls) override { calls(); }
  void begin() override {}
  void finish() override {}
  CollectiveProgress progress() override { return {}; }
  std::string failure() override { return ""; }
  void abort() override {}
};

/// Every rank's rows, one rank behind the other.
Tensor gather_rows(Communicator& communicator, const Tensor& rows);

/// For the ranks of a store with their tensors on `device`. Several need CUDA devices.
std::unique_ptr<Communicator> make_communicator(Store& store, Device device);

// What collectives demand of their tensors, whoever runs them; errors name the collective.
void check_pieces(const char* collective, const Tensor& piece, const Tensor& all, int size);
void check_rows(const Tensor& received, std::span<const int64_t> rows_from, const Tensor& sent,
                std::span<const int64_t> rows_to, int size);

}  // namespace rmoe
