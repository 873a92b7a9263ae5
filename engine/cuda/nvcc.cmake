# Kernels compiled for GPUs. A spill to local memory or a warning fails the build.
set(RMOE_CUDA_ARCHITECTURES 80 90 CACHE STRING "GPU architectures, e.g. 80 for A100, 90 for H100")

# Sets `objects` to the object files of `sources`.
function(rmoe_nvcc_objects objects)
  list(TRANSFORM RMOE_CUDA_ARCHITECTURES REPLACE ".+" "-gencode=arch=compute_\\0,code=sm_\\0" OUTPUT_VARIABLE targets)
  set(compiled)
  foreach(source ${ARGN})
    file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR} ${source})
    string(REPLACE "/" "_" name ${name})
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
    add_custom_command(OUTPUT ${object}
      COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${RMOE_NVCC} -std=c++20 -O3 --extended-lambda ${targets} -Xptxas -warn-spills
        -Werror all-warnings -I${PROJECT_SOURCE_DIR} -MD -MF ${object}.d -MT ${object} -c ${source} -o ${object}
      DEPENDS ${source} DEPFILE ${object}.d COMMENT "nvcc ${name}" VERBATIM)
    list(APPEND compiled ${object})
  endforeach()
  set(${objects} ${compiled} PARENT_SCOPE)
endfunction()
