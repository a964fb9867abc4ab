#include "demix/program/original_options.hpp"

#include "checkpoint/fixtures.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::program;
using demix::test::error_of;

namespace {

const ModelTraits demix_type{"demix", data::Sampling::balanced, true, 0, {}},
    dense_type{"dense", data::Sampling::balanced, false, 0, {}},
    unbalanced_type{"unbalanced", data::Sampling::unbalanced, false, 0, {}},
    token_type{"domain_token", data::Sampling::balanced, false, 1, {}};

/// What a command line with these words gives.
OriginalOptions given(std::vector<std::string> words) {
  OriginalOptions result;
  const auto options = original_options(result);
  boost::program_options::variables_map values;
  boost::program_options::store(boost::program_options::command_line_parser(words).options(options).run(),
                                values);
  boost::program_options::notify(values);
  return result;
}

std::string refusal(const OriginalOptions& options, const ModelTraits& type = demix_type) {
  return error_of([&] { agree(options, type, 4, 2); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(original_options)

BOOST_AUTO_TEST_CASE(what_is_given_is_known) {
  BOOST_TEST(given({}).empty());
  const auto found = given({"--optimizer", "sgd", "--unbalanced", "--data-parallel-groups", "0 1"});
  BOOST_TEST(
      (found == OriginalOptions{{"optimizer", "sgd"}, {"unbalanced", ""}, {"data-parallel-groups", "0 1"}}));
}

BOOST_AUTO_TEST_CASE(a_value_that_is_always_so_is_no_news_and_another_is_refused) {
  BOOST_TEST(
      agree({{"optimizer", "adam"}, {"task", "multidomain_language_modeling"}}, dense_type, 4, 2).empty());
  BOOST_TEST(refusal({{"optimizer", "sgd"}}) == "--optimizer sgd: here it is always adam");
  BOOST_TEST(refusal({{"criterion", "x"}}) ==
             "--criterion x: here it is always desynchronized_cross_entropy or cross_entropy");
}

BOOST_AUTO_TEST_CASE(what_has_no_effect_is_told) {
  const auto notes = agree({{"fp16", ""}, {"num-workers", "8"}}, dense_type, 4, 2);
  BOOST_TEST_REQUIRE(notes.size() == 2u);
  BOOST_TEST(notes[0].starts_with("--fp16 has no effect: "));
  BOOST_TEST(notes[1].starts_with("--num-workers has no effect: "));
}

BOOST_AUTO_TEST_CASE(what_is_for_one_type_of_model_is_refused_by_others) {
  const std::vector<std::pair<OriginalOptions, const ModelTraits*>> cases{
      {{{"desynchronize", ""},
        {"domain-parallel", ""},
        {"sync-type", "manual"},
        {"untie-parameters", "feedforward"}},
       &demix_type},
      {{{"unbalanced", ""}}, &unbalanced_type},
      {{{"add-domain-token", ""}}, &token_type}};
  for (const auto& [options, type] : cases)
    for (const ModelTraits* other : {&demix_type, &dense_type, &unbalanced_type, &token_type})
      for (const auto& option : options) {
        const auto found = refusal({option}, *other);
        if (other == type)
          BOOST_TEST(found == "no error");
        else
          BOOST_TEST(found.starts_with("--" + option.first + " is for "), found);
      }
}

BOOST_AUTO_TEST_CASE(one_process_stands_for_a_gpu_for_each_domain) {
  BOOST_TEST(refusal({{"distributed-world-size", "4"}}) == "no error");
  BOOST_TEST(refusal({{"distributed-world-size", "8"}}).ends_with("is --batch-size 4 without this option"));
  BOOST_TEST(refusal({{"distributed-world-size", "3"}}).ends_with("cannot be shared out evenly"));
  for (const char* wrong : {"0", "-4", "4.0", "x"})
    BOOST_TEST(
        refusal({{"distributed-world-size", wrong}}).starts_with("--distributed-world-size: expected"));
  BOOST_TEST(refusal({{"data-parallel-groups", "0 1 2 3"}}) == "no error");
  BOOST_TEST(refusal({{"data-parallel-groups", "0,1,2,3"}}, dense_type) == "no error");
  BOOST_TEST(refusal({{"data-parallel-groups", "0,1,2,3"}}).ends_with("are '0 1 2 3'"));
  BOOST_TEST(refusal({{"data-parallel-groups", "0 1 2 3"}}, dense_type).ends_with("are '0,1,2,3'"));
}

BOOST_AUTO_TEST_CASE(ranks_stand_for_gpus) {
  const auto refusal_on = [](std::size_t ranks, const OriginalOptions& options,
                             const ModelTraits& type = demix_type) {
    return error_of([&] { agree(options, type, 4, 2, ranks); });
  };
  for (const std::size_t ranks : {2u, 4u, 8u})
    BOOST_TEST(refusal_on(ranks, {{"distributed-world-size", std::to_string(ranks)}}) == "no error");
  BOOST_TEST(refusal_on(2, {{"distributed-world-size", "4"}}) ==
             "--distributed-world-size 4: 2 processes were started");
  BOOST_TEST(refusal_on(2, {{"data-parallel-groups", "0 1"}}) == "no error");
  BOOST_TEST(refusal_on(8, {{"data-parallel-groups", "0,1 2,3 4,5 6,7"}}) == "no error");
  BOOST_TEST(refusal_on(8, {{"data-parallel-groups", "0,2 1,3 4,6 5,7"}})
                 .ends_with("those of 8 ranks are '0,1 2,3 4,5 6,7'"));
  BOOST_TEST(refusal_on(3, {{"data-parallel-groups", "0,1,2"}}, dense_type) == "no error");
}

BOOST_AUTO_TEST_CASE(a_subset_names_domains) {
  BOOST_TEST(domains_of_subset("valid_1b,valid_a_b") == (std::vector<std::string>{"1b", "a_b"}),
             boost::test_tools::per_element());
  for (const char* wrong : {"valid", "valid_", "1b", "valid_a,,valid_b", "valid_a,test_b"})
    BOOST_CHECK_THROW(domains_of_subset(wrong), UsageError);
}

BOOST_AUTO_TEST_SUITE_END()
