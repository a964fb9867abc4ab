#pragma once
// Command lines: Boost.Program_options plus what users expect around it: a complete --help, an ini file,
// numbers that are checked, and an error that names the option and the nearest right one.

#include <omp.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cerrno>
#include <concepts>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/names.hpp"
#include "demix/core/number.hpp"
#include "demix/core/processors.hpp"
#include "demix/program/ini_file.hpp"

namespace demix::program {

/// The width of --help.
inline constexpr unsigned help_columns = 110;

/// More than this crashes OpenMP's library, and no machine has as many processors for one program.
inline constexpr int most_threads = 1024;

/// The values of options, for add_options().
namespace option {
namespace po = boost::program_options;

/// A value that `parse` reads from the option's text; none is an error which says that `expected` was
/// expected.
template <class T>
class Parsed : public po::typed_value<T> {
 public:
  using Parse = std::function<std::optional<T>(const std::string&)>;

  Parsed(T* variable, Parse parse, std::string expected)
      : po::typed_value<T>(variable), parse_(std::move(parse)), expected_(std::move(expected)) {}

  void xparse(boost::any& store, const std::vector<std::string>& tokens) const override {
    po::validators::check_first_occurrence(store);
    const auto value = parse_(tokens.at(0));
    if (!value) throw UsageError(expected_);
    store = boost::any(*value);
  }

 private:
  Parse parse_;
  std::string expected_;
};

inline auto* string(std::string& variable, const char* name) {
  return po::value<std::string>(&variable)->value_name(name);
}

/// A whole number in [least, most].
template <std::integral T>
auto* whole(T& variable, T least, T most) {
  const auto parse = [least, most](const std::string& text) {
    auto value = parse_whole<T>(text);
    if (value && (*value < least || *value > most)) value.reset();
    return value;
  };
  return (new Parsed<T>(&variable, parse, concat("a whole number from ", least, " to ", most)))
      ->value_name("N");
}

/// A count of at least `least`; one that is much too large is for core/checked_size.hpp to find.
template <std::unsigned_integral T>
auto* count(T& variable, std::type_identity_t<T> least = 0) {
  return whole<T>(variable, least, std::numeric_limits<std::int64_t>::max());
}

inline auto* seed(std::uint64_t& variable) {
  return whole<std::uint64_t>(variable, 0, std::numeric_limits<std::uint64_t>::max());
}

inline auto* threads(int& variable) { return whole(variable, 1, most_threads); }

/// A finite number that `allowed` accepts, which is `expected`.
inline auto* real(double& variable, bool (*allowed)(double), const char* expected) {
  const auto parse = [allowed](const std::string& text) {
    auto value = parse_real(text);
    if (value && !allowed(*value)) value.reset();
    return value;
  };
  return (new Parsed<double>(&variable, parse, expected))->value_name("X");
}
inline auto* positive(double& variable) {
  return real(
      variable, [](double x) { return x > 0; }, "a finite number above 0");
}
inline auto* not_negative(double& variable) {
  return real(
      variable, [](double x) { return x >= 0; }, "a finite number, 0 or above");
}
inline auto* probability(double& variable) {
  return real(
      variable, [](double p) { return p >= 0 && p < 1; }, "a number from 0, below 1");
}

/// `given`, or where that is 0 what OMP_NUM_THREADS says, or one thread for each available processor, which
/// are shared out among so many processes. Throws UsageError when that is too large.
inline int thread_count(int given, int sharers = 1) {
  if (given > 0) return given;
  if (!std::getenv("OMP_NUM_THREADS")) return std::clamp(available_processors() / sharers, 1, most_threads);
  if (omp_get_max_threads() > most_threads)
    throw UsageError(concat("OMP_NUM_THREADS: ", omp_get_max_threads(), " threads, expected at most ",
                            most_threads, "; --threads chooses another number"));
  return omp_get_max_threads();
}

}  // namespace option

/// What a program accepts, and how it says so.
struct CommandLine {
  std::string usage;    // "demix-eval DATA CHECKPOINT [options]"
  std::string purpose;  // one or two sentences
  std::string example;  // a command that works, shown by --help
  /// Names of options that also stand without a dash, in order; the last one may end in "..." and takes the
  /// rest.
  std::vector<std::string> positional = {};
  /// Names of options whose value may be the empty text; of any other it is an error.
  std::vector<std::string> may_be_empty = {};
  /// Other names of options: {"max-sentences", "batch-size"}. Both may be given where they say the same.
  std::map<std::string, std::string> aliases = {};
  boost::program_options::options_description options{help_columns};

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& option : options.options()) result.push_back(option->long_name());
    for (const auto& [alias, name] : aliases) result.push_back(alias);
    return result;
  }

  void print_help(std::ostream& out) const {
    out << "usage: " << usage << "\n\n"
        << purpose << "\n\n"
        << options << "\nExample:\n  " << example << "\n";
  }

  /// Parses the command line and, with --config, a file of options (program/ini_file.hpp); the command line
  /// wins. Options are --name VALUE, --name=VALUE, flags --name; after -- nothing is an option. A VALUE that
  /// begins with -- needs the form with =. Prints the help and returns false for --help. Throws UsageError.
  bool parse(int argc, char** argv, boost::program_options::variables_map& values) {
    namespace po = boost::program_options;
    options.add_options()("config", po::value<std::string>()->value_name("FILE"),
                          "read further options from an ini file of 'name = value' lines")("help,h",
                                                                                           "print this text");
    const auto words = read_words(argc, argv);
    if (std::any_of(words.begin(), words.end(), [](const Given& word) { return word.name == "help"; })) {
      errno = 0;
      print_help(std::cout);
      const bool written = std::cout.flush().good();
      require(written, "cannot write to the standard output: ", std::strerror(errno));
      return false;
    }
    store(words, values);
    if (values.count("config")) store(read_config(values["config"].as<std::string>()), values);
    try {
      po::notify(values);
    } catch (const po::error& error) {
      throw UsageError(concat(error.what(), "; usage: ", usage));
    }
    return true;
  }

 private:
  /// An option as it was given; a flag may have no value.
  struct Given {
    std::string name;
    std::optional<std::string> value;
    std::string where;    // "--lr", or "train.ini:3: lr"
    std::string spelled;  // an alias perhaps
  };

  std::string main_name(const std::string& name) const {
    const auto found = aliases.find(name);
    return found == aliases.end() ? name : found->second;
  }

  static bool looks_like_option(std::string_view word) { return word.starts_with("--") || word == "-h"; }

  const boost::program_options::value_semantic& semantic_of(const std::string& name,
                                                            const std::string& given) const {
    // Not find_nothrow: Boost 1.74 takes an empty name for the beginning of every option's.
    for (const auto& option : options.options())
      if (option->long_name() == name) return *option->semantic();
    const auto near = nearest_name(name, names());
    throw UsageError(concat("unknown option '", given, "'",
                            near.empty() ? "; --help lists them all" : "; did you mean '--" + near + "'?"));
  }

  /// The name of the option that the argument number `position` without a name belongs to.
  std::string positional_name(std::size_t position) const {
    if (position < positional.size() && !positional[position].ends_with("...")) return positional[position];
    if (positional.empty() || !positional.back().ends_with("..."))
      throw UsageError(concat("too many arguments without a name; usage: ", usage));
    return positional.back().substr(0, positional.back().size() - 3);
  }

  std::vector<Given> read_words(int argc, char** argv) const {
    std::vector<Given> result;
    std::size_t position = 0;
    bool options_end = false;
    for (int i = 1; i < argc; ++i) {
      const std::string word = argv[i];
      if (word == "--" && !options_end) {
        options_end = true;
      } else if (options_end || word.size() < 2 || word[0] != '-') {
        const auto name = positional_name(position++);
        result.push_back({name, word, "--" + name, name});
      } else if (looks_like_option(word)) {
        const auto equals = std::min(word.find('='), word.size());
        Given option{word == "-h" ? "help" : word.substr(2, equals - 2), std::nullopt, word.substr(0, equals),
                     ""};
        option.spelled = std::exchange(option.name, main_name(option.name));
        const auto& semantic = semantic_of(option.name, option.where);
        const bool has_next = i + 1 < argc && !looks_like_option(argv[i + 1]);
        if (equals < word.size()) {
          if (semantic.max_tokens() == 0) throw UsageError(concat(option.where, " takes no value"));
          option.value = word.substr(equals + 1);
        } else if (semantic.min_tokens() > 0) {
          if (!has_next)
            throw UsageError(concat(option.where, ": its value is missing",
                                    i + 1 < argc ? concat("; one that begins with a dash is written ",
                                                          option.where, "=", argv[i + 1])
                                                 : ""));
          option.value = argv[++i];
        } else if (semantic.max_tokens() > 0 && has_next && is_value(semantic, argv[i + 1])) {
          option.value = argv[++i];  // of a flag that may have one
        }
        result.push_back(option);
      } else {
        throw UsageError(concat("unknown option '", word,
                                "'; --help lists them all, and what stands after -- is "
                                "no option"));
      }
    }
    return result;
  }

  std::vector<Given> read_config(const std::string& path) const {
    std::vector<Given> result;
    for (const auto& entry : read_ini_file("--config", path)) {
      const auto name = main_name(entry.name);
      try {
        semantic_of(name, entry.name);
      } catch (const UsageError& error) {
        throw UsageError(concat(entry.where, ": ", error.what()));
      }
      const auto where = concat(entry.where, ": ", entry.name);
      if (entry.name == "config" || entry.name == "help")
        throw UsageError(concat(where, " is for the command line only"));
      result.push_back({name, entry.value, where, entry.name});
    }
    return result;
  }

  static bool is_value(const boost::program_options::value_semantic& semantic, const std::string& text) {
    boost::any ignored;
    try {
      semantic.parse(ignored, {text}, false);
    } catch (const std::exception&) {
      return false;
    }
    return true;
  }

  /// Checks what was given, and adds to `values` what does not stand there already.
  void store(const std::vector<Given>& given, boost::program_options::variables_map& values) const {
    namespace po = boost::program_options;
    po::parsed_options all(&options, po::command_line_style::allow_long);
    struct Seen {
      boost::any value;
      const Given* given = nullptr;
    };
    std::map<std::string, Seen> seen;  // by name
    for (const Given& option : given) {
      const auto& [name, value, where, spelled] = option;
      if (value && value->empty() &&
          std::find(may_be_empty.begin(), may_be_empty.end(), name) == may_be_empty.end())
        throw UsageError(where + ": its value is empty");
      po::option parsed(name, value ? std::vector{*value} : std::vector<std::string>{});
      auto& [so_far, first] = seen[name];
      if (first && first->spelled != spelled && first->value == value) continue;
      try {
        semantic_of(name, name).parse(so_far, parsed.value, false);
      } catch (const po::multiple_occurrences&) {
        throw UsageError(
            concat(where, ": given twice", first->where == where ? "" : concat(", first in ", first->where)));
      } catch (po::error_with_option_name& error) {
        error.add_context(name, *value, po::command_line_style::allow_long);
        throw UsageError(concat(where, ": ", error.what()));
      } catch (const UsageError& expected) {
        throw UsageError(concat(where, ": expected ", expected.what(), ", found '", *value, "'"));
      }
      first = &option;
      all.options.push_back(std::move(parsed));
    }
    po::store(all, values);
  }
};

}  // namespace demix::program
