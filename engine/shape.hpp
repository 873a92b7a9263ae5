// Shape: up to six sizes, outermost first. Tensors are dense and row-major, so a shape is all there is to a
// layout.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>

namespace rmoe {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);

  int rank() const { return rank_; }
  int64_t numel() const;
  /// Size of dimension i; negative i counts from the end.
  int64_t operator[](int i) const;
  void append(int64_t dim);
  /// The same shape with dimension i set to `dim`.
  Shape with(int i, int64_t dim) const;

  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  bool operator==(const Shape& other) const = default;

 private:
  int checked(int i) const;

  std::array<int64_t, kMaxRank> dims_{};  // unused entries stay 0, so that == may compare the arrays
  int rank_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);  // [2,3,8]

}  // namespace rmoe
