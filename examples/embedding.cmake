# dispatch/: several instruction sets in one program. Its units bring their own. What a sanitizer adds to a unit cannot
# be made local.
include(dispatch/isolate.cmake)
if(NOT PLANISH_SANITIZE AND PLANISH_GNU_LD AND PLANISH_GNU_OBJCOPY)
  add_subdirectory(dispatch)
  foreach(target example-dispatch dispatch-portable dispatch-avx2 dispatch-avx512vnni dispatch-avx512vnni_amx)
    if(TARGET ${target})
      target_compile_options(${target} PRIVATE ${PLANISH_WARNINGS} ${PLANISH_INTRINSICS_WARNINGS})
    endif()
  endforeach()
  add_test(NAME example.dispatch COMMAND example-dispatch)
  add_test(NAME example.dispatch_portable COMMAND example-dispatch portable)
  set_tests_properties(example.dispatch_portable PROPERTIES PASS_REGULAR_EXPRESSION "runs portable,"
                                                            FAIL_REGULAR_EXPRESSION "differs")
endif()

# host_executor/: the host's own threads.
find_package(Threads REQUIRED)
find_package(OpenMP QUIET COMPONENTS CXX)
add_executable(example-host_executor host_executor/main.cpp host_executor/c_threads.cpp llama/thread_pool.cpp)
target_link_libraries(example-host_executor PRIVATE planish::planish Threads::Threads)
if(OpenMP_CXX_FOUND AND NOT PLANISH_SANITIZE)
  target_link_libraries(example-host_executor PRIVATE OpenMP::OpenMP_CXX)
endif()
planish_own(example-host_executor)
planish_separate_bodies(example-host_executor)
add_test(NAME example.host_executor COMMAND example-host_executor)

# ggml_like/: an engine in C whose product planish takes over.
include(CheckLanguage)
check_language(C)
if(CMAKE_C_COMPILER)
  enable_language(C)
  add_executable(example-ggml_like ggml_like/main.c ggml_like/host.c ggml_like/planish_mul_mat.cpp
                                   host_executor/c_threads.cpp)
  target_link_libraries(example-ggml_like PRIVATE planish::planish Threads::Threads m)
  planish_own(example-ggml_like)
  planish_separate_bodies(example-ggml_like)
  add_test(NAME example.ggml_like COMMAND example-ggml_like)
endif()
add_test(NAME example.ggml_like_lines COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/ggml_like/count_lines.sh)
