# The libraries demix uses; docs/architecture.md says why each one. Nothing is downloaded.
find_package(OpenMP REQUIRED COMPONENTS CXX)
# Not oneDNN's own package file: Debian's asks for OpenCL, which demix does not use.
find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
set(HDF5_PREFER_PARALLEL OFF)
enable_language(C)  # FindHDF5 looks for the C library
find_package(HDF5 REQUIRED COMPONENTS C)
find_path(PCRE2_INCLUDE_DIR pcre2.h REQUIRED)
find_library(PCRE2_LIBRARY pcre2-8 REQUIRED)
find_package(ZLIB REQUIRED)
