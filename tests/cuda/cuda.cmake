# The kernels under the CUDA compiler, where there is one; tests/cuda/*_test.cpp need none.
find_program(PLANISH_NVCC nvcc HINTS /usr/local/cuda/bin DOC "The CUDA compiler, for the compile gate of the kernels")
if(PLANISH_NVCC)
  set(PLANISH_CUDA_ARCHS 80 90a CACHE STRING "Architectures of the compile gate")
  add_executable(cuda-opcodes ${CMAKE_CURRENT_LIST_DIR}/compile/opcodes.cpp)
  planish_own(cuda-opcodes)
  add_test(NAME cuda.compile COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/compile/run.sh ${PLANISH_NVCC}
                                     ${PROJECT_SOURCE_DIR}/include $<TARGET_FILE:cuda-opcodes> ${PLANISH_CUDA_ARCHS})
  list(LENGTH PLANISH_CUDA_ARCHS archs)
  math(EXPR seconds "1200 * ${archs}")
  set_tests_properties(cuda.compile PROPERTIES LABELS cuda TIMEOUT ${seconds} COST 1000)  # the longest starts first
else()
  message(STATUS "planish: the CUDA compile gate is skipped: no nvcc on the PATH or in /usr/local/cuda")
endif()
