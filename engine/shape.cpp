#include "engine/shape.hpp"

#include "engine/error.hpp"

namespace rmoe {

Shape::Shape(std::initializer_list<int64_t> dims) {
  for (int64_t dim : dims) append(dim);
}

void Shape::append(int64_t dim) {
  RMOE_CHECK(rank_ < kMaxRank, "shape: more than ", kMaxRank, " dimensions");
  RMOE_CHECK(dim >= 0, "shape: negative size ", dim);
  dims_[rank_++] = dim;
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (int64_t dim : *this) n *= dim;
  return n;
}

int Shape::checked(int i) const {
  const int index = i < 0 ? i + rank_ : i;
  RMOE_CHECK(index >= 0 && index < rank_, "shape: dimension ", i, " of ", *this, " does not exist");
  return index;
}

int64_t Shape::operator[](int i) const { return dims_[checked(i)]; }

Shape Shape::with(int i, int64_t dim) const {
  Shape shape = *this;
  shape.dims_[checked(i)] = dim;
  return shape;
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int i = 0; i < shape.rank(); ++i) out << (i ? "," : "") << shape[i];
  return out << ']';
}

}  // namespace rmoe
