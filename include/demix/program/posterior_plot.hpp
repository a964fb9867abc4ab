#pragma once
// A picture of a mixture's posterior over positions and over batches, drawn by gnuplot.

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "demix/core/child_process.hpp"
#include "demix/core/output_file.hpp"
#include "demix/eval/mixture.hpp"

namespace demix::program {

namespace posterior_plot_detail {

/// The terminal for a picture's file name. Throws UsageError for an unknown suffix.
inline std::string terminal_of(const std::filesystem::path& picture) {
  const auto suffix = picture.extension();
  if (suffix == ".svg") return "svg size 1100,420 dynamic background 'white'";
  if (suffix == ".png") return "pngcairo size 1100,420";
  throw UsageError(concat("--plot: '", picture.string(), "' is neither .svg nor .png"));
}

/// Text between single quotes.
inline std::string quoted(std::string text) {
  for (std::size_t i = 0; (i = text.find('\'', i)) != std::string::npos; i += 2) text.insert(i, 1, '\'');
  return "'" + text + "'";
}

/// Rows of cumulative probabilities as an inline data block: number, 0, p_1, p_1 + p_2, ...
inline std::string data_block(const std::string& name, const std::vector<std::vector<double>>& rows) {
  std::ostringstream block;
  block << "$" << name << " << END\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    double sum = 0;
    block << i + 1 << " 0";
    for (const double p : rows[i]) block << " " << (sum += p);
    block << "\n";
  }
  block << "END\n";
  return block.str();
}

/// One filled band per expert, in hues as different as their number allows.
inline std::string bands(const std::string& name, const std::vector<std::string>& experts, std::size_t rows) {
  std::string plot = concat("set xrange [1:", rows > 1 ? rows : 2, "]\nplot ");
  for (std::size_t j = 0; j < experts.size(); ++j) {
    const double hue = static_cast<double>(j) / static_cast<double>(experts.size());
    plot += concat(j ? ", " : "", "$", name, " using 1:", j + 2, ":", j + 3,
                   " with filledcurves linecolor rgb hsv2rgb(", hue, ", 0.6, ", j % 2 ? 0.7 : 0.95,
                   ") title ", quoted(experts[j]));
  }
  return plot + "\n";
}

/// What gnuplot writes to its standard output for a script. Throws Error when it is missing or fails.
inline std::string run_gnuplot(std::vector<std::string> arguments, const std::string& script) {
  arguments.insert(arguments.begin(), "gnuplot");
  const auto done = run_child(arguments, script);
  if (done.start_error == ENOENT)
    throw Error("--plot: gnuplot draws the picture and is not installed (package gnuplot-nox)");
  require(done.start_error == 0, "--plot: cannot start gnuplot: ", std::strerror(done.start_error));
  require(done.status == 0 && !done.output.empty(), "--plot: gnuplot failed (",
          WIFSIGNALED(done.status) ? "signal " : "exit code ",
          WIFSIGNALED(done.status) ? WTERMSIG(done.status) : WEXITSTATUS(done.status), "): ", done.errors);
  return done.output;
}

}  // namespace posterior_plot_detail

/// Throws UsageError unless `picture` ends in .svg or .png, and Error unless gnuplot can be run.
inline void require_plot(const std::filesystem::path& picture) {
  posterior_plot_detail::terminal_of(picture);
  posterior_plot_detail::run_gnuplot({"--version"}, "");
}

/// Writes `picture` to `file`: on the left the mean posterior at each position of a sequence, on the right
/// the posterior of each batch, experts stacked. Throws Error when gnuplot is missing or fails.
inline void plot_posterior(OutputFile& file, const std::filesystem::path& picture, const std::string& title,
                           const std::vector<std::string>& experts, const eval::Mixture& mixture) {
  using namespace posterior_plot_detail;
  const auto positions = mixture.position_posteriors();
  auto batches = mixture.batch_posteriors();
  if (batches.size() == 1) batches.push_back(batches.front());
  std::string script = concat("set terminal ", terminal_of(picture), "\n", data_block("positions", positions),
                              data_block("batches", batches));
  script += concat("set multiplot layout 1,2 title ", quoted(title), " noenhanced\nset yrange [0:1]\n",
                   "set style fill solid 0.8 noborder\nset key outside right noenhanced invert\n",
                   "set ylabel 'posterior'\nset xlabel 'position in the sequence'\nunset key\n",
                   bands("positions", experts, positions.size()),
                   "set key outside right noenhanced invert\nunset ylabel\nset xlabel 'batch'\n",
                   bands("batches", experts, batches.size()), "unset multiplot\n");
  file.write(run_gnuplot({}, script));
  file.commit();
}

}  // namespace demix::program
