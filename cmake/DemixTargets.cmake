# demix::demix is the library: headers, in DEMIX_INCLUDE_DIR, and what they link to.
add_library(demix INTERFACE)
add_library(demix::demix ALIAS demix)
target_compile_features(demix INTERFACE cxx_std_20)
target_include_directories(demix INTERFACE ${DEMIX_INCLUDE_DIR})
target_include_directories(demix SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS} ${PCRE2_INCLUDE_DIR} ${DNNL_INCLUDE_DIR})
target_link_libraries(demix INTERFACE OpenMP::OpenMP_CXX Boost::program_options nlohmann_json::nlohmann_json
                                      ${DNNL_LIBRARY} ${HDF5_C_LIBRARIES} ${PCRE2_LIBRARY} ZLIB::ZLIB)
