// Several ranks of which only one is there, for a rehearsal (engine/rehearsal.hpp): collectives look at what
// they are given, and do nothing.
#pragma once

#include "engine/comm/communicator.hpp"

namespace rmoe {

class PaperCommunicator : public SingleCommunicator {
 public:
  PaperCommunicator(int rank, int size) : rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void reduce_scatter(const Tensor& piece, const Tensor& all) override {
    check_pieces("reduce_scatter", piece, all, size_);
  }
  void all_gather(const Tensor& all, const Tensor& piece) override {
    check_pieces("all_gather", piece, all, size_);
  }
  void all_to_all(const Tensor& received, std::span<const int64_t> rows_from, const Tensor& sent,
                  std::span<const int64_t> rows_to) override {
    check_rows(received, rows_from, sent, rows_to, size_);
  }

 private:
  int rank_, size_;
};

}  // namespace rmoe
