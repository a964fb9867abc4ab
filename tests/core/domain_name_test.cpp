#include "demix/core/domain_name.hpp"

#include <boost/test/unit_test.hpp>

using namespace demix;

BOOST_AUTO_TEST_SUITE(domain_name)

BOOST_AUTO_TEST_CASE(names_must_be_file_names) {
  for (const char* good : {"1b", "legal", "C++", "a+b", "a.b", "A_b-c", "x..y", "_law", "dict"})
    BOOST_TEST(is_domain_name(good), good);
  for (const char* bad : {"", ".", "..", ".hidden", "a/b", "/abs", "../up", "a b", "-rf", "+a", "\303\274",
                          "a\n", "a\\b", "a:b", "a,b", "a=b", "*"})
    BOOST_TEST(!is_domain_name(bad), bad);
  BOOST_TEST(!is_domain_name(std::string("a\0b", 3)));
  BOOST_TEST(is_domain_name(std::string(200, 'a')));
  BOOST_TEST(!is_domain_name(std::string(201, 'a')));
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_said) {
  const auto says = [](const std::string& part) {
    return [part](const Error& error) { return std::string(error.what()).find(part) != std::string::npos; };
  };
  BOOST_CHECK_EXCEPTION(require_domain_name("a b"), Error, says("domain name 'a b' cannot be a file name"));
  BOOST_CHECK_EXCEPTION(require_domain_name<UsageError>("a b", "--domain: "), UsageError,
                        says("--domain: domain name 'a b'"));
  require_domain_name<UsageError>("a+b", "--domain: ");
  require_domain_names({"law", "Law", "_x"});
  BOOST_CHECK_EXCEPTION(require_domain_names({}), Error, says("at least one domain"));
  BOOST_CHECK_EXCEPTION(require_domain_names({"a", "b", "a"}), Error, says("'a' stands twice"));
  BOOST_CHECK_EXCEPTION(require_domain_names({"a", "../up"}), Error, says("'../up'"));
}

BOOST_AUTO_TEST_CASE(a_domain_is_found_by_its_whole_name) {
  const std::vector<std::string> domains{"law", "news", "la"};
  BOOST_TEST((find_domain(domains, "law") == DomainId{0}));
  BOOST_TEST((find_domain(domains, "la") == DomainId{2}));
  BOOST_TEST(!find_domain(domains, "Law"));
  BOOST_TEST(!find_domain(domains, ""));
  BOOST_TEST(!find_domain({}, "law"));
}

BOOST_AUTO_TEST_SUITE_END()
