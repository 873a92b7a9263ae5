// For any processor with vectors of 16 bytes.
#define RMOE_KERNEL portable
#define RMOE_KERNEL_NAME "portable"
#define RMOE_VECTOR_BYTES 16
#define RMOE_MOST_VECTORS 2
#include "engine/gemm_kernel.inl"
