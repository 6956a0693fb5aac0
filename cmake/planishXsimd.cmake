# planish::xsimd: the headers of xsimd, as system headers. Used by the build and, installed, by find_package(planish).
# A host that already has a target named xsimd keeps its own copy. Only its include folders are taken: the target in
# Debian's package also names a library (xtl) that does not exist.
if(TARGET planish::xsimd)
  return()
endif()
if(NOT TARGET xsimd)
  find_path(XSIMD_INCLUDE_DIR xsimd/xsimd.hpp)
  mark_as_advanced(XSIMD_INCLUDE_DIR)
  if(NOT XSIMD_INCLUDE_DIR)
    message(FATAL_ERROR "planish needs the headers of xsimd (Debian: libxsimd-dev), or a target named xsimd")
  endif()
endif()
add_library(planish::xsimd INTERFACE IMPORTED GLOBAL)
if(TARGET xsimd)
  target_include_directories(planish::xsimd INTERFACE $<TARGET_PROPERTY:xsimd,INTERFACE_INCLUDE_DIRECTORIES>)
else()
  target_include_directories(planish::xsimd INTERFACE ${XSIMD_INCLUDE_DIR})
endif()
