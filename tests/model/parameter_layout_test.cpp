#include "demix/model/parameter_layout.hpp"

#include <set>

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(parameter_layout)

BOOST_AUTO_TEST_CASE(parameters_stand_back_to_back_and_align_begins_a_cache_line) {
  RegionLayout region;
  const auto a = region.matrix("a", 2, 3, Initializer::ones());
  const auto b = region.vector("b", 5, Initializer::zeros());
  region.align();
  const auto stack = region.stacked_matrices({"q", "k", "v"}, 4, 2, Initializer::xavier_uniform());
  const auto biases = region.stacked_vectors({"qb", "kb"}, 3, Initializer::zeros());
  const auto check = [](ParameterRef ref, std::size_t offset, std::size_t rows, std::size_t cols) {
    BOOST_TEST(ref.offset == offset);
    BOOST_TEST(ref.rows == rows);
    BOOST_TEST(ref.cols == cols);
  };
  check(a, 0, 2, 3);
  check(b, 6, 1, 5);
  check(stack, 16, 12, 2);
  check(biases, 40, 1, 6);
  BOOST_TEST(region.size() == 46u);
  std::vector<std::size_t> offsets;
  std::string names, vectors;
  for (const auto& parameter : region.parameters()) {
    offsets.push_back(parameter.offset);
    names += parameter.name + " ";
    if (parameter.vector) vectors += parameter.name + " ";
  }
  BOOST_TEST(offsets == (std::vector<std::size_t>{0, 6, 16, 24, 32, 40, 43}),
             boost::test_tools::per_element());
  BOOST_TEST(names == "a b q k v qb kb ");
  BOOST_TEST(vectors == "b qb kb ");
}

BOOST_AUTO_TEST_CASE(sizes_that_overflow_are_refused) {
  RegionLayout region;
  const std::size_t huge = std::size_t{1} << 40;
  BOOST_CHECK_THROW(region.matrix("a", huge, huge, Initializer::zeros()), Error);
}

BOOST_AUTO_TEST_CASE(a_region_names_the_shared_one_or_an_expert) {
  const ParameterLayout layout;
  BOOST_TEST(RegionId::shared().is_shared());
  BOOST_TEST((&RegionId::shared().layout(layout) == &layout.shared));
  const RegionId second = ExpertId{2};
  BOOST_TEST(!second.is_shared());
  BOOST_TEST((second.expert() == ExpertId{2}));
  BOOST_TEST((&second.layout(layout) == &layout.expert));
  BOOST_TEST((RegionId::shared() < RegionId(ExpertId{0})));
}

BOOST_AUTO_TEST_CASE(names_are_unique_and_nothing_overlaps) {
  device::Cpu cpu;
  const DEMixModel<device::Cpu, Fp32, ops::Relu> model(cpu, tiny_config(Positions::learned, false),
                                                       three_domains, Seed{1});
  for (const auto* region : {&model.layout().shared, &model.layout().expert}) {
    std::set<std::string> names;
    std::size_t end = 0;
    for (const auto& parameter : region->parameters()) {
      BOOST_TEST(names.insert(parameter.name).second, parameter.name << " is there twice");
      BOOST_TEST(parameter.offset >= end);
      end = parameter.offset + parameter.size();
    }
    BOOST_TEST(end <= region->size());
  }
  BOOST_TEST(model.layout().expert.parameters().size() == 2u * 4u);
  BOOST_TEST(model.weights().master().regions().size() == 4u);
  BOOST_TEST(model.weights().master().size() ==
             model.layout().shared.size() + 3 * model.layout().expert.size());
}

BOOST_AUTO_TEST_CASE(a_layout_that_is_no_models_is_refused) {
  const auto error_of = [](bool has_experts, auto declare) -> std::string {
    ParameterLayout layout;
    layout.shared.vector("a", 3, Initializer::zeros());
    declare(layout);
    try {
      validate(layout, has_experts);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const auto mentions = [](const std::string& text, const char* word) {
    BOOST_TEST(text.find(word) != std::string::npos, "'" << text << "' does not mention " << word);
  };
  const auto named = [](const std::string& name) {
    return [name](ParameterLayout& layout) { layout.shared.matrix(name, 2, 2, Initializer::zeros()); };
  };
  const auto expert = [](ParameterLayout& layout) { layout.expert.vector("b", 3, Initializer::zeros()); };
  const auto nothing = [](ParameterLayout&) {};
  BOOST_TEST(error_of(false, nothing) == "");
  BOOST_TEST(error_of(true, expert) == "");
  BOOST_TEST(error_of(false, named("decoder.layers.0.fc1.weight")) == "");
  mentions(error_of(false, expert), "'b' first: they would never be saved");
  mentions(error_of(true, nothing), "no parameter is declared in layout.expert");
  mentions(error_of(false, named("a")), "two parameters are called 'a'");
  mentions(
      error_of(true, [](ParameterLayout& layout) { layout.expert.vector("a", 3, Initializer::zeros()); }),
      "two parameters are called 'a'");
  for (const std::string& name :
       {std::string(), std::string("."), std::string("b/c"), std::string("b\0c", 3)})
    mentions(error_of(false, named(name)), "cannot be that of a dataset");
  mentions(
      error_of(false, [](ParameterLayout& layout) { layout.shared.matrix("b", 0, 5, Initializer::zeros()); }),
      "'b' is empty: [0, 5]");
}

BOOST_AUTO_TEST_SUITE_END()
