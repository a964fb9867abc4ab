// Runs the tests where there is a CUDA device; elsewhere says so and exits with CTest's code for "skipped".
#define BOOST_TEST_NO_MAIN
#define BOOST_TEST_ALTERNATIVE_INIT_API
#include <cuda_runtime_api.h>

#include <boost/test/unit_test.hpp>
#include <iostream>

int main(int argc, char** argv) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::cout << "skipped: no CUDA device\n";
    return 77;
  }
  return boost::unit_test::unit_test_main([] { return true; }, argc, argv);
}
