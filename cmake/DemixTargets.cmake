# demix::demix is the library: headers and what they link to. demix_build holds the flags of this repository's own
# programs and tests; projects that include the headers choose their own.
add_library(demix INTERFACE)
add_library(demix::demix ALIAS demix)
target_include_directories(demix INTERFACE $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
                                           $<INSTALL_INTERFACE:include>)
target_compile_features(demix INTERFACE cxx_std_20)
target_include_directories(demix SYSTEM INTERFACE $<BUILD_INTERFACE:${HDF5_C_INCLUDE_DIRS}>
                                                  $<BUILD_INTERFACE:${PCRE2_INCLUDE_DIR}>
                                                  $<BUILD_INTERFACE:${DNNL_INCLUDE_DIR}>)
target_link_libraries(demix INTERFACE OpenMP::OpenMP_CXX ${DNNL_LIBRARY} Boost::program_options nlohmann_json::nlohmann_json
                                      ${HDF5_C_LIBRARIES} ${PCRE2_LIBRARY})

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
