// One launch for many tensors: an optimizer's parameters, a norm's gradients. They are cut into chunks of a
// fixed size, a block for each, and what describes them travels with the launch: no table in device memory to
// keep up to date.
#pragma once

#include "engine/cuda/context.hpp"
#include "engine/cuda/device.cuh"

namespace rmoe::cuda {

constexpr int64_t kChunk = 1 << 14;  // elements of a block
constexpr int kChunkThreads = 512;
constexpr int kMostItems = 48;  // with 64 bytes each, three quarters of what a launch may carry

/// Each Item has a size n; the chunks of item i are blocks first[i] to first[i + 1] of the launch.
template <class Item>
struct Items {
  Item item[kMostItems];
  int first[kMostItems + 1];
};

template <class Item, class F>
__global__ void __launch_bounds__(kChunkThreads)
    for_each_chunk_kernel(Items<Item> items, int64_t before, F f) {
  const int block = blockIdx.x;
  int i = 0;
  while (items.first[i + 1] <= block) ++i;
  const Item item = items.item[i];
  const int64_t begin = (block - items.first[i]) * kChunk;
  f(item, begin, begin + kChunk < item.n ? begin + kChunk : item.n, before + block);
}

inline int64_t chunks_of(int64_t n) { return (n + kChunk - 1) / kChunk; }

/// Calls f(item, begin, end, number) with every thread of a block for each chunk [begin, end) of each item;
/// chunks are numbered through all items.
template <class Item, class F>
void for_each_chunk(const Item* items, int64_t count, F f) {
  int64_t before = 0;
  for (int64_t i = 0; i < count;) {
    Items<Item> some{};  // whole, so that equal work is an equal launch
    int taken = 0, blocks = 0;
    for (; i < count && taken < kMostItems; ++i) {
      if (items[i].n == 0) continue;
      some.item[taken] = items[i];
      some.first[taken++] = blocks;
      blocks += int(chunks_of(items[i].n));
    }
    some.first[taken] = blocks;
    if (blocks > 0)
      LAUNCH((for_each_chunk_kernel<Item, F>), blocks, kChunkThreads, 0, stream(), some, before, f);
    before += blocks;
  }
}

}  // namespace rmoe::cuda
