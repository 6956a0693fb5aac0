# --backend cuda of planish-llama, and cuda/: their units go through nvcc by commands of their own, so that the build
# knows one language, whatever compiler it has.
option(PLANISH_CUDA "planish-llama --backend cuda, and examples/cuda (needs nvcc)" OFF)
if(NOT PLANISH_CUDA)
  return()
endif()
find_program(PLANISH_NVCC nvcc HINTS /usr/local/cuda/bin DOC "The CUDA compiler")
if(NOT PLANISH_NVCC)
  message(FATAL_ERROR "PLANISH_CUDA=ON needs nvcc on the PATH or in /usr/local/cuda/bin; name it by -DPLANISH_NVCC=FILE, "
                      "or leave PLANISH_CUDA off")
endif()
set(PLANISH_CUDA_ARCHS 80 90a CACHE STRING "GPU architectures that our own programs are compiled for")
set(PLANISH_CUDA_FLAGS -std=c++20 -O3 -Werror all-warnings -Xcompiler -Wall,-Wextra)
foreach(arch IN LISTS PLANISH_CUDA_ARCHS)
  list(APPEND PLANISH_CUDA_FLAGS -gencode arch=compute_${arch},code=sm_${arch})
endforeach()
get_filename_component(cuda_root ${PLANISH_NVCC} REALPATH)
get_filename_component(cuda_root ${cuda_root} DIRECTORY)
find_library(PLANISH_CUDART cudart_static HINTS ${cuda_root}/../lib64 ${cuda_root}/../lib
             ${cuda_root}/../targets/x86_64-linux/lib DOC "The CUDA run-time library")
if(NOT PLANISH_CUDART)
  message(FATAL_ERROR "PLANISH_CUDA=ON needs libcudart_static.a of the CUDA Toolkit; name it by -DPLANISH_CUDART=FILE")
endif()

# planish_cuda_sources(target sources...): compiles .cu files into a target, which then links the CUDA run-time library.
function(planish_cuda_sources target)
  foreach(source IN LISTS ARGN)
    cmake_path(GET source STEM name)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${target}-${name}.o)
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${PLANISH_NVCC} ${PLANISH_CUDA_FLAGS} -I${PROJECT_SOURCE_DIR}/include -MD -MF ${object}.d -c ${source}
              -o ${object}
      DEPENDS ${source}
      DEPFILE ${object}.d
      COMMENT "Compiling ${target}: ${name}.cu"
      VERBATIM)
    set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    target_sources(${target} PRIVATE ${object})
  endforeach()
  find_package(Threads REQUIRED)
  target_link_libraries(${target} PUBLIC ${PLANISH_CUDART} Threads::Threads ${CMAKE_DL_LIBS} rt)
endfunction()

file(GLOB cuda_units CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/llama/cuda/*.cu)
planish_cuda_sources(llama_host ${cuda_units})
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/llama/cuda/backend.cpp PROPERTIES
                            COMPILE_DEFINITIONS PLANISH_LLAMA_CUDA)

# cuda/: one layer in an engine of its own; torch_op.py compiles the other.
add_executable(example-cuda-fused_linear)
planish_cuda_sources(example-cuda-fused_linear ${CMAKE_CURRENT_LIST_DIR}/cuda/fused_linear.cu)
set_target_properties(example-cuda-fused_linear PROPERTIES LINKER_LANGUAGE CXX)
add_test(NAME example.cuda_fused_linear COMMAND example-cuda-fused_linear)
find_program(PLANISH_PYTHON python3)
if(PLANISH_PYTHON)
  add_test(NAME example.cuda_torch_op COMMAND ${PLANISH_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/cuda/torch_op.py)
  set_tests_properties(example.cuda_torch_op PROPERTIES TIMEOUT 600)
endif()
