# Tests that are not doctest programs: facts about the tree, the package, the documents.
add_test(NAME layering COMMAND ${CMAKE_COMMAND} -P ${PROJECT_SOURCE_DIR}/cmake/CheckLayering.cmake)
add_test(NAME layering.catches_violations
         COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/headers/planted_violations.sh ${CMAKE_COMMAND})
add_test(NAME headers.chains COMMAND ${CMAKE_COMMAND} -DFOLDER=${PROJECT_BINARY_DIR}/header_chains
                                     -P ${CMAKE_CURRENT_LIST_DIR}/headers/chains_test.cmake)
add_test(NAME count COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/count_test.sh)
add_test(NAME coverage_reasons COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/coverage_reasons_test.sh)
add_test(NAME coverage_reasons.lines  # every reason belongs to a line that is still there
         COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/coverage_reasons.sh /dev/null ${CMAKE_CURRENT_LIST_DIR}/coverage_reasons.txt
         WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
add_test(NAME example.run COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/llama/run_script_test.sh)
add_test(NAME newcomer COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/newcomer/run.sh
                               $<$<TARGET_EXISTS:planish-llama>:$<TARGET_FILE:planish-llama>>)
set_tests_properties(newcomer PROPERTIES TIMEOUT 600)

# What only compiles differently is not built again under sanitizers.
if(NOT PLANISH_SANITIZE)
  include(${CMAKE_CURRENT_LIST_DIR}/headers/headers_alone.cmake)
  include(${CMAKE_CURRENT_LIST_DIR}/abi/mixed_isa.cmake)
  include(${CMAKE_CURRENT_LIST_DIR}/cuda/cuda.cmake)
  include(${CMAKE_CURRENT_LIST_DIR}/docs/snippets.cmake)
endif()

option(PLANISH_LONG_TESTS "Also run the whole protocol on the real model (hours on two cores)" OFF)
if(PLANISH_LONG_TESTS AND TARGET planish-llama)
  add_test(NAME model.long COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/model/run.sh ${PROJECT_BINARY_DIR} --long)
  set_tests_properties(model.long PROPERTIES TIMEOUT 86400 RUN_SERIAL ON SKIP_RETURN_CODE 77)
endif()
if(NOT PLANISH_SANITIZE)
  include(${CMAKE_CURRENT_LIST_DIR}/consumers/consumers.cmake)
  set(compile_fail_compilers -c ${CMAKE_CXX_COMPILER})
  if(PLANISH_LONG_TESTS)
    set(compile_fail_compilers "")  # every one that is here
  endif()
  add_test(NAME compile_fail COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/compile_fail/run.sh ${compile_fail_compilers})
  set_tests_properties(compile_fail PROPERTIES TIMEOUT 1200)
endif()
