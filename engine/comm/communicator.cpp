#include "engine/comm/communicator.hpp"

#include "engine/cuda/nccl.hpp"
#include "engine/error.hpp"

#include <numeric>

namespace rmoe {
namespace {

void copy_unless_same(const Tensor& dst, const Tensor& src) {
  if (dst.raw() != src.raw()) copy(dst, src);
}

void check_side(const char* side, const Tensor& rows, std::span<const int64_t> counts, int size) {
  RMOE_CHECK(int(counts.size()) == size, "all_to_all: ", counts.size(), " counts of rows ", side, " ", size,
             " ranks");
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  RMOE_CHECK(rows.rank() > 0 && rows.dim(0) == total, "all_to_all: ", total, " rows ", side, " all ranks, ",
             rows.shape(), " given");
}

}  // namespace

void check_pieces(const char* collective, const Tensor& piece, const Tensor& all, int size) {
  RMOE_CHECK(piece.dtype() == all.dtype() && piece.numel() * size == all.numel(), collective, ": a piece of ",
             piece.dtype(), " ", piece.shape(), " for each of ", size, " ranks is not ", all.dtype(), " ",
             all.shape());
}

void check_rows(const Tensor& received, std::span<const int64_t> rows_from, const Tensor& sent,
                std::span<const int64_t> rows_to, int size) {
  check_side("from", received, rows_from, size);
  check_side("to", sent, rows_to, size);
  const auto width = [](const Tensor& x) {
    int64_t n = 1;
    for (int i = 1; i < x.rank(); ++i) n *= x.dim(i);
    return n;
  };
  RMOE_CHECK(received.dtype() == sent.dtype() && width(received) == width(sent), "all_to_all: rows of ",
             sent.dtype(), " ", sent.shape(), " do not fit ", received.dtype(), " ", received.shape());
}

Tensor gather_rows(Communicator& communicator, const Tensor& rows) {
  const Tensor all = empty_like(rows, rows.shape().with(0, rows.dim(0) * communicator.size()));
  communicator.all_gather(all, rows);
  return all;
}

std::unique_ptr<Communicator> make_communicator(Store& store, Device device) {
  if (store.size() == 1) return std::make_unique<SingleCommunicator>();
  RMOE_CHECK(device == Device::cuda, "communicator: ", store.size(), " ranks need --device cuda, this is ",
             device);
  return cuda::make_nccl_communicator(store);
}

void SingleCommunicator::reduce_scatter(const Tensor& piece, const Tensor& all) {
  check_pieces("reduce_scatter", piece, all, 1);
  copy_unless_same(piece, all.reshape(piece.shape()));
}

void SingleCommunicator::all_gather(const Tensor& all, const Tensor& piece) {
  check_pieces("all_gather", piece, all, 1);
  copy_unless_same(all, piece.reshape(all.shape()));
}

void SingleCommunicator::all_to_all(const Tensor& received, std::span<const int64_t> rows_from,
                                    const Tensor& sent, std::span<const int64_t> rows_to) {
  check_rows(received, rows_from, sent, rows_to, 1);
  copy_unless_same(received, sent);
}

}  // namespace rmoe
