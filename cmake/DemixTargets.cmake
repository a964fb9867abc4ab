# demix::model has the headers in DEMIX_INCLUDE_DIR and what core, device, ops, model, comm and optim link to; demix::demix
# is everything. DEMIX_SYSTEM is SYSTEM where the headers are a guest's, so that the host's warnings are not about them.
function(demix_add_targets everything)
  if(NOT TARGET demix::model)
    add_library(demix_model INTERFACE)
    add_library(demix::model ALIAS demix_model)
    target_compile_features(demix_model INTERFACE cxx_std_20)
    target_include_directories(demix_model ${DEMIX_SYSTEM} INTERFACE ${DEMIX_INCLUDE_DIR})
    target_include_directories(demix_model SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
    target_link_libraries(demix_model INTERFACE OpenMP::OpenMP_CXX ${DNNL_LIBRARY})
  endif()
  if(everything AND NOT TARGET demix::demix)
    add_library(demix INTERFACE)
    add_library(demix::demix ALIAS demix)
    target_include_directories(demix SYSTEM INTERFACE ${DEMIX_HDF5_INCLUDE_DIR} ${PCRE2_INCLUDE_DIR})
    target_link_libraries(demix INTERFACE demix_model Boost::program_options nlohmann_json::nlohmann_json
                                          ${DEMIX_HDF5_LIBRARY} ${PCRE2_LIBRARY} ZLIB::ZLIB)
  endif()
endfunction()
