# demix_build holds the flags of this repository's own programs and tests; projects that include the headers choose
# their own.
add_library(demix_build INTERFACE)
target_link_libraries(demix_build INTERFACE demix)
# Row kernels vectorise only where the compiler may ignore errno and floating-point traps.
target_compile_options(demix_build INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fno-math-errno -fno-trapping-math -Wall -Wextra
                                             -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual>)
if(DEMIX_NATIVE)
  target_compile_options(demix_build INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-march=native>)
endif()
if(DEMIX_WARNINGS_AS_ERRORS)
  target_compile_options(demix_build INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
