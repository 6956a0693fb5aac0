set(PLANISH_WARNINGS -Wall -Wextra -Wconversion -Wshadow)
if(PLANISH_WARNINGS_AS_ERRORS)
  list(APPEND PLANISH_WARNINGS -Werror)
endif()
