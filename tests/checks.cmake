# Tests that are not doctest programs: facts about the tree, the package, the documents.
include(${CMAKE_CURRENT_LIST_DIR}/headers/headers_alone.cmake)

include(${CMAKE_CURRENT_LIST_DIR}/abi/mixed_isa.cmake)

add_test(NAME layering COMMAND ${CMAKE_COMMAND} -P ${PROJECT_SOURCE_DIR}/cmake/CheckLayering.cmake)
add_test(NAME layering.catches_violations
         COMMAND ${CMAKE_COMMAND} -E env bash ${CMAKE_CURRENT_LIST_DIR}/headers/planted_violations.sh ${CMAKE_COMMAND})
add_test(NAME count COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/count_test.sh)

if(PLANISH_INSTALL)
  add_test(NAME package COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/package/run.sh ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR}
                                ${CMAKE_CXX_COMPILER} ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()
include(${CMAKE_CURRENT_LIST_DIR}/docs/snippets.cmake)
