# dispatch/: several instruction sets in one program. Its units bring their own; a sanitizer is not for the linker to split.
if(NOT PLANISH_SANITIZE AND CMAKE_OBJCOPY)
  add_subdirectory(dispatch)
  foreach(target example-dispatch dispatch-portable dispatch-avx2 dispatch-avx512vnni)
    if(TARGET ${target})
      target_compile_options(${target} PRIVATE ${PLANISH_WARNINGS} ${PLANISH_INTRINSICS_WARNINGS})
    endif()
  endforeach()
  add_test(NAME example.dispatch COMMAND example-dispatch)
  add_test(NAME example.dispatch_portable COMMAND example-dispatch portable)
  set_tests_properties(example.dispatch_portable PROPERTIES PASS_REGULAR_EXPRESSION "runs portable,"
                                                            FAIL_REGULAR_EXPRESSION "differs")
endif()
