#include "data/shards/mapped_file.hpp"

#include "engine/error.hpp"
#include "engine/files.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace rmoe {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const files::Descriptor file(path, O_RDONLY, "read");
  struct stat status {};
  RMOE_CHECK(::fstat(file.get(), &status) == 0, "cannot read ", path.string(), ": ", std::strerror(errno));
  RMOE_CHECK(S_ISREG(status.st_mode), "cannot read ", path.string(), ": it is not a file");
  size_ = size_t(status.st_size);
  if (size_ == 0) return;  // nothing can be mapped
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  RMOE_CHECK(data != MAP_FAILED, "cannot map ", path.string(), " into memory: ", std::strerror(errno));
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace rmoe
