// A trainer's command line, an argument a line, and its ini file.

#include <iostream>
#include <sstream>

#include "demix/program/train_options.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::parts(data, size, 2);
  std::vector<std::string> words{"demix-train-demix", "--config", fuzz::write_file("options.ini", input[1])};
  std::istringstream lines(input[0]);
  for (std::string line; std::getline(lines, line);)
    words.push_back(line.substr(0, line.find('\0')));  // the system cannot pass more
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  std::ostringstream help;
  auto* const terminal = std::cout.rdbuf(help.rdbuf());
  fuzz::read([&] {
    demix::program::TrainOptions run;
    demix::program::parse_train_options("demix-train-demix", "", {"demix", {}, true, 0, {"relu", "gelu"}},
                                        static_cast<int>(arguments.size()), arguments.data(), run);
  });
  std::cout.rdbuf(terminal);
  return 0;
}
