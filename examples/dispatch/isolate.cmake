# isolate_unit(NAME SOURCES source... KEEP pattern [OPTIONS option...] [LIBRARIES target...]): an object file NAME.o,
# compiled with the options, in which every name is local but those that match the pattern (as the linker spells them).
# ${NAME}_OBJECT holds its path.
#
# planish's own names carry their instruction set. Templates of the standard library do not: std::vector<float> has the
# same name in every unit, and a linker keeps one body of it for all, which may hold instructions that the machine does
# not have. Made local, each unit keeps its own. It takes GNU ld and objcopy (binutils) and ELF, and no link-time
# optimization.
# With clang, CMake's own CMAKE_LINKER and CMAKE_OBJCOPY may be LLVM's, which have no --force-group-allocation.
find_program(PLANISH_GNU_LD NAMES ld.bfd ld)
find_program(PLANISH_GNU_OBJCOPY NAMES objcopy gobjcopy)
mark_as_advanced(PLANISH_GNU_LD PLANISH_GNU_OBJCOPY)

function(isolate_unit name)
  cmake_parse_arguments(PARSE_ARGV 1 unit "" "KEEP" "SOURCES;OPTIONS;LIBRARIES")
  add_library(${name} OBJECT ${unit_SOURCES})
  target_link_libraries(${name} PRIVATE ${unit_LIBRARIES})
  # A "unique" symbol of GNU stays global whatever objcopy is told; without the option there is none.
  target_compile_options(${name} PRIVATE ${unit_OPTIONS} $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
  set_target_properties(${name} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${PLANISH_GNU_LD} -r --force-group-allocation -o ${object}.whole $<TARGET_OBJECTS:${name}>
    COMMAND ${PLANISH_GNU_OBJCOPY} --wildcard --keep-global-symbol=${unit_KEEP} ${object}.whole ${object}
    DEPENDS ${name} $<TARGET_OBJECTS:${name}>
    COMMAND_EXPAND_LISTS VERBATIM)
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  set(${name}_OBJECT ${object} PARENT_SCOPE)
endfunction()
