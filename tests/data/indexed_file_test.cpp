#include "demix/data/indexed_file.hpp"

#include <cstring>

#include "data/hand_made.hpp"

using namespace demix;
using namespace demix::test;
using data::TokenFile;
using data::TokenFileWriter;

BOOST_AUTO_TEST_SUITE(indexed_file)

BOOST_FIXTURE_TEST_CASE(reads_a_file_written_by_hand, HandMade) {
  const auto file = open();
  BOOST_TEST(file.tokens() == 5u);
  BOOST_TEST(file.documents() == 3u);
  BOOST_TEST(read_all(file) == (std::vector<Token>{4, 2, 7, 5, 2}), boost::test_tools::per_element());
  BOOST_TEST(file.document(1).first == 2u);
  BOOST_TEST(file.document(1).last == 2u);
  BOOST_TEST(file.document(2).first == 2u);
  BOOST_TEST(file.document(2).last == 5u);
  Token middle[2];
  file.read(2, middle);
  BOOST_TEST(middle[0] == 7);
  BOOST_TEST(middle[1] == 5);
  BOOST_CHECK_THROW(file.document(3), Error);
  BOOST_CHECK_THROW(file.read(4, middle), Error);
  BOOST_CHECK_THROW(file.read(6, std::span<Token>()), Error);
  BOOST_CHECK_THROW(file.read(~std::size_t{0}, middle), Error);
}

BOOST_FIXTURE_TEST_CASE(reads_every_integer_type, HandMade) {
  const std::vector<Token> expected{4, 2, 100, 5, 2};
  const auto check = [&](std::uint8_t code, std::int64_t width, const std::string& bytes) {
    index = index_bytes(code, {2, 0, 3}, {0, 2 * width, 2 * width});
    bin = bytes;
    BOOST_TEST(read_all(open(101)) == expected, boost::test_tools::per_element());
    check_mentions(error_of([&] { read_all(open(100)); }),
                   {"x.bin", "token 2", "id 100", "vocabulary of 100"});
  };
  check(1, 1, bytes_of<std::uint8_t>({4, 2, 100, 5, 2}));
  check(2, 1, bytes_of<std::int8_t>({4, 2, 100, 5, 2}));
  check(3, 2, bytes_of<std::int16_t>({4, 2, 100, 5, 2}));
  check(4, 4, bytes_of<std::int32_t>({4, 2, 100, 5, 2}));
  check(5, 8, bytes_of<std::int64_t>({4, 2, 100, 5, 2}));
  check(8, 2, bytes_of<std::uint16_t>({4, 2, 100, 5, 2}));
}

BOOST_FIXTURE_TEST_CASE(negative_and_huge_ids_are_refused, HandMade) {
  index = index_bytes(4, {2}, {0});
  bin = bytes_of<std::int32_t>({1, -1});
  check_mentions(error_of([&] { read_all(open(1 << 30)); }), {"token 1", "id -1"});
  index = index_bytes(5, {2}, {0});
  bin = bytes_of<std::int64_t>({1, std::int64_t{1} << 32});  // its low half is a valid id
  check_mentions(error_of([&] { read_all(open()); }), {"id 4294967296"});
}

BOOST_FIXTURE_TEST_CASE(every_damaged_field_is_refused, HandMade) {
  const std::string good_index = index, good_bin = bin;
  const auto damaged = [&](std::size_t offset, const std::string& bytes) {
    index = good_index;
    index.replace(offset, bytes.size(), bytes);
    return open_error();
  };
  check_mentions(damaged(0, "TNTIDX"), {"x.idx", "MMIDIDX"});
  check_mentions(damaged(8, "x"), {"MMIDIDX"});
  check_mentions(damaged(9, bytes_of<std::uint64_t>({2})), {"version 2", "expected 1"});
  for (const std::uint8_t code : {0, 6, 7, 9, 255})
    check_mentions(damaged(17, bytes_of({code})), {"type code " + std::to_string(int{code})});
  for (const std::uint64_t count : std::initializer_list<std::uint64_t>{0, 2, 4, 1u << 20, ~std::uint64_t{0},
                                                                        (~std::uint64_t{0}) / 12 + 4})
    check_mentions(damaged(18, bytes_of({count})), {"x.idx", std::to_string(count) + " documents"});
  check_mentions(damaged(26, bytes_of<std::int32_t>({-2})), {"document 0", "-2"});
  check_mentions(damaged(26, bytes_of<std::int32_t>({1})), {"document 1"});
  check_mentions(damaged(34, bytes_of<std::int32_t>({4})), {"document 2", "x.bin"});
  check_mentions(damaged(34, bytes_of<std::int32_t>({2})), {"x.bin", "10 bytes"});
  check_mentions(damaged(38, bytes_of<std::int64_t>({2})), {"document 0", "back to back"});
  check_mentions(damaged(54, bytes_of<std::int64_t>({-4})), {"document 2", "-4"});
  check_mentions(damaged(54, bytes_of<std::int64_t>({2})), {"document 2", "back to back"});
  check_mentions(damaged(17, bytes_of<std::uint8_t>({4})), {"x.bin"});

  index = good_index;
  for (std::size_t length = 0; length < good_bin.size(); ++length) {
    bin = good_bin.substr(0, length);
    check_mentions(open_error(), {"x.bin"});
  }
  bin = good_bin + good_bin;
  check_mentions(open_error(), {"x.bin", "20 bytes"});
  bin = good_bin;
  for (std::size_t length = 0; length < good_index.size(); ++length) {
    index = good_index.substr(0, length);
    check_mentions(open_error(), {"x.idx"});
  }
  index = good_index + "x";
  check_mentions(open_error(), {"x.idx"});
}

BOOST_FIXTURE_TEST_CASE(documents_out_of_order_are_refused, HandMade) {
  index = index_bytes(8, {3, 2}, {4, 0});
  check_mentions(open_error(), {"document 0 starts at byte 4", "expected 0"});
}

BOOST_FIXTURE_TEST_CASE(missing_files_and_folders_are_refused, HandMade) {
  check_mentions(error_of([&] { TokenFile(path / "absent", 8); }), {"absent.idx"});
  open();
  fs::remove(path / "x.bin");
  check_mentions(error_of([&] { TokenFile(path / "x", 8); }), {"x.bin"});
  fs::create_directory(path / "x.bin");
  check_mentions(error_of([&] { TokenFile(path / "x", 8); }), {"x.bin", "regular file"});
}

BOOST_FIXTURE_TEST_CASE(a_file_cut_short_while_it_is_open_is_an_error, HandMade) {
  const auto file = open();
  fs::resize_file(path / "x.bin", 4);
  Token two[2];
  file.read(0, two);
  BOOST_TEST(two[1] == 2);
  check_mentions(error_of([&] { file.read(2, two); }), {"x.bin: ends at byte 4, expected 8", "changed"});
  fs::resize_file(path / "x.idx", 30);
  check_mentions(error_of([&] { file.document(2); }), {"x.idx: ends at byte 30"});
  check_mentions(error_of([&] { file.sampled_hash(); }), {"ends at byte"});
}

BOOST_FIXTURE_TEST_CASE(the_sampled_hash_tells_texts_apart, HandMade) {
  const auto reference = open().sampled_hash();
  BOOST_TEST(reference.size() == 16u);
  BOOST_TEST(open().sampled_hash() == reference);
  bin = bytes_of<std::uint16_t>({4, 2, 7, 6, 2});
  BOOST_TEST(open().sampled_hash() != reference);
  bin = bytes_of<std::uint16_t>({4, 2, 7, 5, 2});
  index = index_bytes(8, {2, 1, 2}, {0, 4, 6});  // the same tokens in other documents
  BOOST_TEST(open().sampled_hash() != reference);

  const std::size_t tokens = 300000;  // more than all sampled blocks
  const auto write = [&](std::size_t changed) {
    std::vector<Token> document(tokens, 3);
    document[changed] = 4;
    write_documents(path / "y", {document}, 8);
    return TokenFile(path / "y", 8).sampled_hash();
  };
  const auto first = write(0), last = write(tokens - 1), unseen = write(2500);
  BOOST_TEST(first != last);
  BOOST_TEST(first != unseen);
  BOOST_TEST(last != unseen);
  BOOST_TEST(unseen == write(2501));  // between the first two blocks
}

BOOST_FIXTURE_TEST_CASE(an_empty_split_has_no_tokens, TemporaryFolder) {
  write_documents(path / "x", {}, 10);
  const TokenFile file(path / "x", 10);
  BOOST_TEST(file.tokens() == 0u);
  BOOST_TEST(file.documents() == 0u);
}

BOOST_FIXTURE_TEST_CASE(many_documents_round_trip, TemporaryFolder) {
  // More than the chunks in which sizes and pointers are handled.
  for (const Token vocabulary : {1000, 70000}) {
    const auto documents = random_documents(10000, 20, vocabulary, 3);
    write_documents(path / "x", documents, static_cast<std::size_t>(vocabulary));
    const TokenFile file(path / "x", static_cast<std::size_t>(vocabulary));
    BOOST_REQUIRE(file.documents() == documents.size());
    std::size_t position = 0, differing = 0;
    for (std::size_t i = 0; i < documents.size(); ++i) {
      const auto [first, last] = file.document(i);
      BOOST_REQUIRE(first == position);
      BOOST_REQUIRE(last - first == documents[i].size());
      std::vector<Token> tokens(last - first);
      file.read(first, tokens);
      differing += tokens != documents[i];
      position = last;
    }
    BOOST_TEST(differing == 0u);
    BOOST_TEST(file.tokens() == position);
  }
}

namespace {

/// Bytes of mapped files that are resident now.
std::size_t resident_file_bytes() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("RssFile:")) return std::stoul(line.substr(8)) * 1024;
  BOOST_FAIL("no RssFile in /proc/self/status");
  return 0;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(resident_memory_stays_bounded, TemporaryFolder) {
  constexpr std::size_t documents = 250000, length = 100;  // 50 MB of tokens, 3 MB of index
  {
    TokenFileWriter writer(path / "x", 1000);
    std::vector<Token> document(length);
    for (std::size_t i = 0; i < documents; ++i) {
      document[0] = static_cast<Token>(i % 1000);
      writer.add(document);
    }
    writer.finish();
  }
  const std::size_t before = resident_file_bytes();
  std::size_t most = 0;
  const TokenFile file(path / "x", 1000);
  std::vector<Token> block(length);
  for (std::size_t i = 0; i < documents; ++i) {
    const std::size_t document = i * 7919 % documents;
    file.read(document * length, block);
    BOOST_REQUIRE(block[0] == static_cast<Token>(document % 1000));
    if (i % 1000 == 0) most = std::max(most, resident_file_bytes());
  }
  BOOST_TEST(most < before + (std::size_t{16} << 20));
}

BOOST_AUTO_TEST_SUITE_END()
