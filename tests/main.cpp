#define BOOST_TEST_MODULE demix
#include <boost/test/unit_test.hpp>
