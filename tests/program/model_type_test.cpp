#include "demix/program/model_type.hpp"

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"

using namespace demix;
using namespace demix::program;
using demix::test::error_of;

namespace {

/// A type that has a name.
struct Named final : ModelType {
  explicit Named(std::string name) : ModelType({std::move(name), data::Sampling::balanced, false, 0, {}}) {}
  std::shared_ptr<eval::Scorer> load(const checkpoint::ModelSource&, int) const override { return {}; }
  int train(const TrainOptions&, comm::Any, StopSignal&) const override { return 0; }
  int adapt(const checkpoint::ModelSource&, const AdaptOptions&, StopSignal&) const override { return 0; }
};

std::vector<std::shared_ptr<const ModelType>> named(const std::vector<std::string>& names) {
  std::vector<std::shared_ptr<const ModelType>> types;
  for (const auto& name : names) types.push_back(std::make_shared<Named>(name));
  return types;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_types)

BOOST_AUTO_TEST_CASE(a_name_finds_its_type) {
  const auto types = named({"dense", "dense2", "demix"});
  const ModelList list(types);
  for (const auto& type : types) BOOST_TEST(&list.at(type->traits.name, "here") == type.get());
  BOOST_TEST(list.at("dense2", "here").traits.name == "dense2");
}

BOOST_AUTO_TEST_CASE(an_unknown_name_is_an_error_that_lists_the_known_ones) {
  const ModelList list(named({"dense", "demix", "own"}));
  for (const char* name : {"demi", "", "Dense"})
    BOOST_TEST(error_of([&] { list.at(name, "runs/x/checkpoint_3"); }) ==
               concat("runs/x/checkpoint_3: experiment '", name,
                      "' is not one of dense, demix, own; a model "
                      "type of your own needs a line in the list of the programs' models"));
}

BOOST_AUTO_TEST_CASE(two_types_of_one_name_are_refused) {
  BOOST_TEST(error_of([] {
               ModelList(named({"own", "demix", "dense", "demix"}));
             }) == "model list: two types are named 'demix'");
  BOOST_TEST(error_of([] { ModelList(named({"own", "own"})); }) == "model list: two types are named 'own'");
  BOOST_TEST(error_of([] { ModelList(named({"own", "Own", "own2"})); }) == "no error");
}

BOOST_AUTO_TEST_SUITE_END()
