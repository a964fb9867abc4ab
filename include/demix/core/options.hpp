#pragma once
// Command lines: Boost.Program_options plus what users expect around it: a complete --help, an ini file,
// and an error that names the nearest right option.

#include <boost/program_options.hpp>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/names.hpp"

namespace demix {

/// A count that an option gives. Throws UsageError when it is below `least`.
inline std::size_t require_at_least(const std::string& option, std::int64_t value, std::int64_t least) {
  if (value < least) throw UsageError(concat(option, ": ", value, " is less than ", least));
  return static_cast<std::size_t>(value);
}

/// The width of --help.
inline constexpr unsigned help_columns = 110;

/// What a program accepts, and how it says so.
struct CommandLine {
  std::string usage;    // "demix-eval DATA CHECKPOINT [options]"
  std::string purpose;  // one or two sentences
  std::string example;  // a command that works, shown by --help
  /// Names of options that also stand without a dash, in order; the last one may end in "..." and takes the
  /// rest.
  std::vector<std::string> positional = {};
  boost::program_options::options_description options{help_columns};

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& option : options.options()) result.push_back(option->long_name());
    return result;
  }

  void print_help(std::ostream& out) const {
    out << "usage: " << usage << "\n\n"
        << purpose << "\n\n"
        << options << "\nExample:\n  " << example << "\n";
  }

  /// Parses the command line and, with --config, an ini file of `name = value` lines; the command line wins.
  /// Prints the help and returns false for --help. Throws UsageError.
  bool parse(int argc, char** argv, boost::program_options::variables_map& values) {
    namespace po = boost::program_options;
    options.add_options()("config", po::value<std::string>()->value_name("FILE"),
                          "read further options from an ini file of 'name = value' lines")("help,h",
                                                                                           "print this text");
    po::positional_options_description order;
    for (const auto& name : positional)
      if (name.ends_with("..."))
        order.add(name.substr(0, name.size() - 3).c_str(), -1);
      else
        order.add(name.c_str(), 1);
    try {
      const auto style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
      po::store(po::command_line_parser(argc, argv).options(options).positional(order).style(style).run(),
                values);
      if (values.count("help")) {
        print_help(std::cout);
        return false;
      }
      if (values.count("config")) {
        const auto path = values["config"].as<std::string>();
        std::ifstream file(path);
        if (!file) throw UsageError(concat("--config: cannot open '", path, "'"));
        po::store(po::parse_config_file(file, options), values);
      }
      po::notify(values);
    } catch (const po::unknown_option& error) {
      std::string name = error.get_option_name();
      name.erase(0, name.find_first_not_of('-'));
      const auto near = nearest_name(name, names());
      throw UsageError(concat("unknown option '", error.get_option_name(), "'",
                              near.empty() ? "; --help lists them all" : "; did you mean '--" + near + "'?"));
    } catch (const po::too_many_positional_options_error&) {
      throw UsageError(concat("too many arguments without a name; usage: ", usage));
    } catch (const po::error& error) {
      throw UsageError(concat(error.what(), "; usage: ", usage));
    }
    return true;
  }
};

}  // namespace demix
