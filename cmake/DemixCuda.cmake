# demix::cuda is what the .cuh headers need besides demix::demix; demix_cuda_build holds the flags of this repository's
# own .cu files. A program with .cu files links to demix_cuda_build and demix_build.
find_program(DEMIX_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
mark_as_advanced(DEMIX_NVCC)
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  if(NOT DEMIX_NVCC)
    message(FATAL_ERROR "DEMIX_CUDA is ON, but there is no nvcc on PATH or in /usr/local/cuda/bin. Install the CUDA "
                        "toolkit, or name its compiler with -DCMAKE_CUDA_COMPILER=.../nvcc, or configure with -DDEMIX_CUDA=OFF.")
  endif()
  set(CMAKE_CUDA_COMPILER ${DEMIX_NVCC})
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90)  # machine code for both, and PTX for what comes later
endif()
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13.0)
  message(FATAL_ERROR "DEMIX_CUDA needs nvcc 13.0 or later; ${CMAKE_CUDA_COMPILER} is ${CMAKE_CUDA_COMPILER_VERSION}.")
endif()
find_package(CUDAToolkit REQUIRED)

set(DEMIX_CUDA_STANDIN "" CACHE PATH "Folder of libraries that stand in for CUDA's where there is no GPU: the tests run on them")

add_library(demix_cuda INTERFACE)
add_library(demix::cuda ALIAS demix_cuda)
target_link_libraries(demix_cuda INTERFACE demix CUDA::cudart CUDA::cublas)
# CMake 3.25 does not know what cxx_std_20 is for this nvcc. The CPU's team calls lambdas of host code from functions that
# are marked for both sides: --expt-relaxed-constexpr.
target_compile_options(demix_cuda INTERFACE
                       $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20 --expt-relaxed-constexpr -Xcompiler=-fopenmp>)

add_library(demix_cuda_build INTERFACE)
target_link_libraries(demix_cuda_build INTERFACE demix_cuda)
# Not -Wpedantic: the code that nvcc generates for the host compiler does not pass it.
target_compile_options(demix_cuda_build INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wshadow>)
if(DEMIX_WARNINGS_AS_ERRORS)
  target_compile_options(demix_cuda_build INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings -Xcompiler=-Werror>)
endif()
