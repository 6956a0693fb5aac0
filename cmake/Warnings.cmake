set(PLANISH_WARNINGS -Wall -Wextra -Wconversion -Wshadow)
if(PLANISH_WARNINGS_AS_ERRORS)
  list(APPEND PLANISH_WARNINGS -Werror)
endif()

# g++ 12 sees overlaps in the concatenation of short strings that are not there (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND PLANISH_WARNINGS -Wno-restrict)
endif()

# g++ before 13 warns of its own AVX-512 intrinsics (GCC bug 105593) where they are inlined, as Eigen's are.
set(PLANISH_INTRINSICS_WARNINGS "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  set(PLANISH_INTRINSICS_WARNINGS -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
