#include "demix/ops/embedding.hpp"

#include <boost/mpl/list.hpp>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Types = boost::mpl::list<float, double>;

namespace {

/// Groups in host memory, which is the CPU's.
struct Groups {
  std::vector<std::int32_t> rows, firsts;
  std::vector<Token> tokens;
  ops::TokenGroups view;

  explicit Groups(const std::vector<Token>& source)
      : rows(source.size()), firsts(source.size() + 1), tokens(source.size()) {
    view = {ops::group_tokens(source, rows, tokens, firsts), tokens.data(), firsts.data(), rows.data()};
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(embedding)

BOOST_AUTO_TEST_CASE_TEMPLATE(hand_values, T, Types) {
  device::Cpu cpu;
  const Owned<T> table(3, 2, std::vector{0.0, 0.0, 1.0, 2.0, 3.0, 4.0});
  // Two sequences of one token: rows 0 and 1 of the position table are never used.
  const Owned<T> positions(3, 2, std::vector{900.0, 900.0, 900.0, 900.0, 0.5, 0.25});
  const std::vector<Token> tokens{2, 0};
  Owned<T> x(2, 2, T(99));
  ops::embedding(cpu, tokens.data(), table.view(), positions.view(), 1, T(10), x.view());
  BOOST_TEST((x.values == std::vector<T>{T(30.5), T(40.25), T(0.5), T(0.25)}));
}

BOOST_AUTO_TEST_CASE(positions_continue_after_the_cached_ones) {
  device::Cpu cpu;
  const Owned<double> table(1, 1, std::vector{0.0}),
      positions(6, 1, std::vector{9.0, 9.0, 1.0, 2.0, 3.0, 4.0});
  const std::vector<Token> tokens{0, 0, 0, 0};
  const std::vector<std::int32_t> lengths{2, 0};
  Owned<double> x(4, 1);
  ops::embedding(cpu, tokens.data(), table.view(), positions.view(), 2, 1.0, x.view(), lengths.data());
  BOOST_TEST((x.values == std::vector<double>{3, 4, 1, 2}));
}

BOOST_AUTO_TEST_CASE(without_positions_the_tokens_are_alone) {
  device::Cpu cpu;
  const Owned<double> table(2, 2, std::vector{1.0, 2.0, 3.0, 4.0});
  const std::vector<Token> tokens{1, 0, 1};
  Owned<double> x(3, 2);
  ops::embedding(cpu, tokens.data(), table.view(), Matrix<const double>(nullptr, 0, 2), 3, 10.0, x.view());
  BOOST_TEST((x.values == std::vector<double>{30, 40, 10, 20, 30, 40}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(forward_and_backward_against_the_definition, T, Types) {
  device::Cpu cpu;
  for (const auto& [sequences, length, vocabulary, cols] :
       {std::array<std::size_t, 4>{1, 1, 2, 1}, {3, 5, 7, 33}, {2, 64, 1000, 8}}) {
    const std::size_t rows = sequences * length;
    std::vector<Token> tokens(rows);
    for (std::size_t r = 0; r < rows; ++r) tokens[r] = static_cast<Token>(r * r * 5 % vocabulary);
    const auto table = random_matrix<T>(vocabulary, cols, 1),
               positions = random_matrix<T>(length + 4, cols, 2), dx = random_matrix<T>(rows, cols, 3);
    Owned<T> x(rows, cols), dtable(vocabulary, cols, T(1)), dpositions(length + 4, cols, T(2));
    ops::embedding(cpu, tokens.data(), table.view(), positions.view(), length, T(3), x.view());
    const Groups groups(tokens);
    ops::embedding_backward<T>(cpu, groups.view, dx.view(), T(3), dtable.view());
    ops::position_backward<T>(cpu, dx.view(), length, dpositions.view());

    Owned<double> expected(rows, cols), expected_table(vocabulary, cols, 1),
        expected_positions(length + 4, cols, 2);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) {
        const auto token = static_cast<std::size_t>(tokens[r]);
        expected(r, c) =
            3 * static_cast<double>(table(token, c)) + static_cast<double>(positions(r % length + 2, c));
        if (tokens[r] != pad_token) expected_table(token, c) += 3 * static_cast<double>(dx(r, c));
        expected_positions(r % length + 2, c) += static_cast<double>(dx(r, c));
      }
    DEMIX_CHECK_CLOSE(x.values, expected.values, Tolerance<T>::elementwise);
    DEMIX_CHECK_CLOSE(dtable.values, expected_table.values, Tolerance<T>::reduction);
    DEMIX_CHECK_CLOSE(dpositions.values, expected_positions.values, Tolerance<T>::reduction);
  }
}

BOOST_AUTO_TEST_CASE(groups_leave_padding_out) {
  device::Cpu cpu;
  const Groups groups({9, pad_token, 4, 9, 9, 4});
  BOOST_TEST(groups.view.size == 2u);
  BOOST_TEST(groups.tokens[0] == 4);
  BOOST_TEST(groups.tokens[1] == 9);
  BOOST_TEST((std::vector<std::int32_t>(groups.firsts.begin(), groups.firsts.begin() + 3) ==
              std::vector<std::int32_t>{0, 2, 5}));
  BOOST_TEST((std::vector<std::int32_t>(groups.rows.begin(), groups.rows.begin() + 5) ==
              std::vector<std::int32_t>{2, 5, 0, 3, 4}));
  BOOST_TEST(Groups({pad_token}).view.size == 0u);
  const Groups nothing({});
  BOOST_TEST(nothing.view.size == 0u);
  Owned<float> dtable(10, 2, 1.0f), none(0, 2);
  ops::embedding_backward<float>(cpu, nothing.view, none.view(), 1.0f, dtable.view());
  BOOST_TEST((dtable.values == std::vector<float>(20, 1.0f)));
}

BOOST_AUTO_TEST_CASE(shapes) {
  device::Cpu cpu;
  const std::vector<Token> tokens{0, 0};
  Owned<float> table(3, 4), narrow(3, 3), positions(4, 4), few(3, 4), x(2, 4);
  const Groups groups(tokens);
  ops::embedding(cpu, tokens.data(), table.view(), positions.view(), 2, 1.0f, x.view());
  BOOST_CHECK_THROW(ops::embedding(cpu, tokens.data(), table.view(), few.view(), 2, 1.0f, x.view()), Error);
  BOOST_CHECK_THROW(ops::embedding(cpu, tokens.data(), narrow.view(), positions.view(), 2, 1.0f, x.view()),
                    Error);
  BOOST_CHECK_THROW(ops::embedding_backward<float>(cpu, groups.view, x.view(), 1.0f, narrow.view()), Error);
  BOOST_CHECK_THROW(ops::position_backward<float>(cpu, x.view(), 2, few.view()), Error);
  BOOST_CHECK_THROW(ops::position_backward<float>(cpu, x.view(), 2, narrow.view()), Error);
}

BOOST_AUTO_TEST_SUITE_END()
