// Which rows a block computes, found on the device from the offsets alone: the host never learns how the rows
// are spread over the experts. A tile holds rows of one expert only.
#pragma once

#include "engine/cuda/warp.cuh"

namespace rmoe::cuda {

/// Rows [offsets[e], offsets[e+1]) belong to expert e < E; those from offsets[E] to M to nobody, group E.
struct Groups {
  const int32_t* offsets;
  int M, E;

  DEVICE int begin(int group) const { return offsets[group]; }
  DEVICE int end(int group) const { return group < E ? offsets[group + 1] : M; }
};

struct RowTile {
  int group, begin, end;  // group is E + 1 behind the last tile
};

/// The most tiles of at most `height` rows that M rows can make in groups of any size.
inline int most_row_tiles(int64_t M, int64_t E, int height) { return int(M / height + E + 1); }

/// Tile number `tile` in order of groups. Every warp finds it on its own: a lane for each group.
DEVICE RowTile find_row_tile(const Groups& groups, int tile, int height) {
  const int lane = threadIdx.x % kLanes;
  for (int first = 0; first <= groups.E; first += kLanes) {
    const int group = first + lane, begin = group <= groups.E ? groups.begin(group) : 0;
    const int end = group <= groups.E ? groups.end(group) : 0, tiles = (end - begin + height - 1) / height;
    int sum = tiles;  // of this lane's group and those before it
    UNROLL for (int distance = 1; distance < kLanes; distance *= 2) {
      const int lower = __shfl_up_sync(kAllLanes, sum, distance);
      if (lane >= distance) sum += lower;
    }
    const unsigned behind = __ballot_sync(kAllLanes, tile < sum);
    if (behind != 0) {
      const int owner = __ffs(int(behind)) - 1;
      const int start = __shfl_sync(kAllLanes, begin + (tile - sum + tiles) * height, owner);
      const int stop = __shfl_sync(kAllLanes, end, owner);
      return {first + owner, start, start + height < stop ? start + height : stop};
    }
    tile -= __shfl_sync(kAllLanes, sum, kLanes - 1);
  }
  return {groups.E + 1, 0, 0};
}

/// The group of a row below offsets[E]. Every lane of the warp calls it.
DEVICE int group_of_row(const Groups& groups, int row) {
  int before = 0;
  for (int first = 0; first < groups.E; first += kLanes) {
    const int group = first + threadIdx.x % kLanes;
    before += __popc(__ballot_sync(kAllLanes, group < groups.E && groups.end(group) <= row));
  }
  return before;
}

}  // namespace rmoe::cuda
