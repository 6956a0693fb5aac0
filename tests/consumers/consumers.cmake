# Two ways to consume planish are tried with every run of the tests, all of them with the long ones.
function(planish_consumer name)
  add_test(NAME consumer.${name} COMMAND bash ${PROJECT_SOURCE_DIR}/tests/consumers/run.sh ${name})
  set_tests_properties(consumer.${name} PROPERTIES TIMEOUT 1200 ENVIRONMENT
    "CMAKE=${CMAKE_COMMAND};CXX=${CMAKE_CXX_COMPILER};LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER};WORK=${PROJECT_BINARY_DIR}/consumers/${name}")
endfunction()

planish_consumer(find_package)
planish_consumer(no_exceptions)
if(PLANISH_LONG_TESTS)
  foreach(name add_subdirectory fetch_content pkg_config plain_include cxx23 without_eigen separate_bodies two_isas no_leaks)
    planish_consumer(${name})
  endforeach()
endif()
add_test(NAME packaging.recipes COMMAND bash ${PROJECT_SOURCE_DIR}/tests/packaging/recipes.sh)
