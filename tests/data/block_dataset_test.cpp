#include "demix/data/block_dataset.hpp"

#include <thread>

#include "allocations.hpp"
#include "data/support.hpp"

using namespace demix;
using namespace demix::test;
using data::BlockDataset;
using data::TokenFile;

namespace {

BlockDataset open(const fs::path& prefix, std::size_t block_length) {
  return BlockDataset(TokenFile(prefix, 1000), block_length);
}

void check_block(const BlockDataset& dataset, std::size_t block, std::vector<Token> source,
                 std::vector<Token> target) {
  std::vector<Token> s(dataset.block_length(), -7), t(dataset.block_length(), -7);
  dataset.fill(block, s, t);
  BOOST_TEST(s == source, boost::test_tools::per_element());
  BOOST_TEST(t == target, boost::test_tools::per_element());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(block_dataset)

BOOST_FIXTURE_TEST_CASE(blocks_by_hand, TemporaryFolder) {
  write_documents(path / "x", {{10, 11, 2}, {12, 2}, {13, 2}}, 1000);
  const auto dataset = open(path / "x", 3);
  BOOST_TEST(dataset.tokens() == 7u);
  BOOST_TEST(dataset.blocks() == 3u);
  check_block(dataset, 0, {2, 10, 11}, {10, 11, 2});
  check_block(dataset, 1, {2, 12, 2}, {12, 2, 13});
  check_block(dataset, 2, {13, 1, 1}, {2, 1, 1});
}

BOOST_FIXTURE_TEST_CASE(a_length_that_divides_needs_no_padding, TemporaryFolder) {
  write_documents(path / "x", {{10, 11, 2}, {12, 13, 2}}, 1000);
  const auto dataset = open(path / "x", 3);
  BOOST_TEST(dataset.blocks() == 2u);
  check_block(dataset, 1, {2, 12, 13}, {12, 13, 2});
  check_block(open(path / "x", 1), 0, {2}, {10});
  check_block(open(path / "x", 1), 5, {13}, {2});
  check_block(open(path / "x", 8), 0, {2, 10, 11, 2, 12, 13, 1, 1}, {10, 11, 2, 12, 13, 2, 1, 1});
}

BOOST_FIXTURE_TEST_CASE(any_length_equals_the_stream, TemporaryFolder) {
  const auto documents = random_documents(50, 30, 1000, 9);
  write_documents(path / "x", documents, 1000);
  std::vector<Token> stream;
  for (const auto& document : documents) stream.insert(stream.end(), document.begin(), document.end());
  for (std::size_t length = 1; length < 70; length += 3) {
    const auto dataset = open(path / "x", length);
    BOOST_REQUIRE(dataset.blocks() == (stream.size() + length - 1) / length);
    std::vector<Token> source(length), target(length);
    for (std::size_t b = 0; b < dataset.blocks(); ++b) {
      dataset.fill(b, source, target);
      for (std::size_t i = 0; i < length; ++i) {
        const std::size_t at = b * length + i;
        BOOST_REQUIRE(target[i] == (at < stream.size() ? stream[at] : pad_token));
        BOOST_REQUIRE(source[i] == (at >= stream.size() ? pad_token : at == 0 ? eos_token : stream[at - 1]));
      }
    }
  }
}

BOOST_FIXTURE_TEST_CASE(a_block_is_filled_without_the_heap, TemporaryFolder) {
  const auto prefix = path / std::string(100, 'x');
  write_documents(prefix, random_documents(200, 300, 1000, 3), 1000);
  const auto dataset = open(prefix, 32);
  std::vector<Token> source(32), target(32);
  BOOST_TEST(testing::allocations_of([&] {
               for (std::size_t b = 0; b < dataset.blocks(); ++b) dataset.fill(b, source, target);
             }) == 0u);
}

BOOST_FIXTURE_TEST_CASE(wrong_requests_are_refused, TemporaryFolder) {
  write_documents(path / "x", {{10, 11, 2}}, 1000);
  const auto dataset = open(path / "x", 2);
  std::vector<Token> two(2), three(3);
  check_mentions(error_of([&] { dataset.fill(2, two, two); }), {"block 2", "there are 2"});
  check_mentions(error_of([&] { dataset.fill(0, three, two); }), {"3", "expected 2"});
  BOOST_CHECK_THROW(open(path / "x", 0), Error);
  write_documents(path / "empty", {{}, {}}, 1000);
  check_mentions(error_of([&] { open(path / "empty", 2); }), {"empty.bin", "the split is empty"});
  check_mentions(error_of([&] { BlockDataset(TokenFile(path / "x", 11), 2).fill(0, two, two); }), {"id 11"});
}

BOOST_FIXTURE_TEST_CASE(threads_read_side_by_side, TemporaryFolder) {
  const auto documents = random_documents(4000, 500, 1000, 11);
  write_documents(path / "x", documents, 1000);
  const auto dataset = open(path / "x", 64);
  std::vector<std::uint64_t> sums(4);
  {
    std::vector<std::jthread> threads;
    for (auto& sum : sums)
      threads.emplace_back([&] {
        std::vector<Token> source(64), target(64);
        for (std::size_t b = 0; b < dataset.blocks(); ++b) {
          dataset.fill(b, source, target);
          for (const Token token : target) sum = sum * 31 + static_cast<std::uint64_t>(token);
        }
      });
  }
  for (const auto sum : sums) BOOST_TEST(sum == sums[0]);
}

BOOST_AUTO_TEST_CASE(padding_inside_a_text_is_refused_with_its_place) {
  const test::TemporaryFolder folder;
  {
    data::TokenFileWriter writer(folder.path / "split", 10);
    writer.add(std::vector<Token>{4, 5, 6, 7, pad_token, 8, 9, 4});
    writer.finish();
  }
  const data::BlockDataset dataset(data::TokenFile(folder.path / "split", 10), 3);
  std::vector<Token> source(3), target(3);
  dataset.fill(0, source, target);
  BOOST_CHECK_EXCEPTION(dataset.fill(1, source, target), Error, [](const Error& error) {
    const std::string text = error.what();
    return text.find("split.bin: token 4 is id 1, <pad>") != std::string::npos;
  });
  dataset.fill(2, source, target);
}

BOOST_AUTO_TEST_SUITE_END()
