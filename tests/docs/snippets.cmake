# Every ```cpp block of the documents is a program of its own: compiled, run if it has a main, its output compared with
# the ```text block that follows it.
set(snippets ${PROJECT_BINARY_DIR}/snippets)
file(GLOB_RECURSE pages CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/docs/*.md)
list(APPEND pages README.md)
add_custom_target(docs-snippets)
file(REMOVE_RECURSE ${snippets})
file(MAKE_DIRECTORY ${snippets})
foreach(page IN LISTS pages)
  if(NOT EXISTS ${PROJECT_SOURCE_DIR}/${page})
    continue()
  endif()
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${page})
  string(REGEX REPLACE "\\.md$" "" name ${page})
  string(MAKE_C_IDENTIFIER ${name} name)
  execute_process(COMMAND awk -f ${CMAKE_CURRENT_LIST_DIR}/extract.awk -v out=${snippets}/${name} ${page}
                  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} COMMAND_ERROR_IS_FATAL ANY)
  file(GLOB sources ${snippets}/${name}-*.cpp)
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM snippet)
    file(READ ${source} text)
    if(text MATCHES "int main\\(")
      add_executable(docs-${snippet} EXCLUDE_FROM_ALL ${source})
      add_test(NAME docs.${snippet}
               COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/compare.sh $<TARGET_FILE:docs-${snippet}>
                       ${snippets}/${snippet}.expected)
      set_tests_properties(docs.${snippet} PROPERTIES FIXTURES_REQUIRED docs_snippets
                           WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    else()
      add_library(docs-${snippet} OBJECT EXCLUDE_FROM_ALL ${source})
    endif()
    target_link_libraries(docs-${snippet} PRIVATE planish::calibration)
    planish_own(docs-${snippet})
    target_compile_options(docs-${snippet} PRIVATE ${PLANISH_INTRINSICS_WARNINGS})
    add_dependencies(docs-snippets docs-${snippet})
  endforeach()
endforeach()
add_test(NAME docs.compile COMMAND ${CMAKE_COMMAND} --build ${PROJECT_BINARY_DIR} --target docs-snippets)
set_tests_properties(docs.compile PROPERTIES RESOURCE_LOCK build_folder FIXTURES_SETUP docs_snippets TIMEOUT 1200)

add_test(NAME docs.commands COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/commands.sh
         $<$<TARGET_EXISTS:planish-llama>:$<TARGET_FILE:planish-llama>> WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
