#pragma once
// Datasets: a region of an arena as one checksummed dataset per parameter, and text.

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "demix/checkpoint/hdf5.hpp"
#include "demix/core/memory_limit.hpp"
#include "demix/device/concepts.hpp"
#include "demix/model/parameter_layout.hpp"

namespace demix::checkpoint::hdf5 {

/// How numbers lie in a file: as float32, or in their own type.
enum class NumberType { float32, as_it_is };

namespace detail {

/// Datasets are stored in chunks of whole rows of about this size, each with its checksum; one chunk at a
/// time goes between file and device.
inline constexpr std::size_t chunk_bytes = std::size_t{1} << 20;

template <class T>
hid_t memory_type() {
  static_assert(std::same_as<T, float> || std::same_as<T, double>);
  return std::same_as<T, float> ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
}

template <class T>
hid_t file_type(NumberType stored) {
  return stored == NumberType::float32 || std::same_as<T, float> ? H5T_IEEE_F32LE : H5T_IEEE_F64LE;
}

/// How a parameter lies in its dataset: [rows, cols], or [n] for a vector, cut along the first dimension.
struct Extent {
  int rank;
  std::array<hsize_t, 2> dims;
  std::size_t row;    // elements of one step along the first dimension
  std::size_t chunk;  // steps per chunk

  explicit Extent(const ParameterInfo& parameter)
      : rank(parameter.vector ? 1 : 2),
        dims{parameter.vector ? parameter.cols : parameter.rows, parameter.cols},
        row(parameter.vector ? 1 : parameter.cols) {
    const std::size_t most = std::max<std::size_t>(1, chunk_bytes / (row * sizeof(float)));
    const std::size_t chunks = (dims[0] + most - 1) / most;
    chunk = (dims[0] + chunks - 1) / chunks;
  }

  std::string text() const {
    return rank == 1 ? concat("[", dims[0], "]") : concat("[", dims[0], ", ", dims[1], "]");
  }
};

/// Calls transfer(memory space, file space, first element, elements) for every chunk in turn, which lie in
/// the dataset from `first_step` on.
template <class Transfer>
void for_each_chunk(const Extent& extent, const Object& dataset, Transfer transfer,
                    std::size_t first_step = 0) {
  const Handle file(H5Sclose, H5Dget_space(dataset.id()), dataset.name);
  for (std::size_t first = 0; first < extent.dims[0]; first += extent.chunk) {
    const std::size_t steps = std::min<std::size_t>(extent.chunk, extent.dims[0] - first);
    const std::array<hsize_t, 2> start{first_step + first, 0}, count{steps, extent.dims[1]};
    check(H5Sselect_hyperslab(file.id(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
          dataset.name);
    const Handle memory(H5Sclose, H5Screate_simple(extent.rank, count.data(), nullptr), dataset.name);
    transfer(memory.id(), file.id(), first * extent.row, steps * extent.row);
  }
}

inline std::string dataset_name(const Object& group, const std::string& name) {
  return concat(group.name, ": dataset '", name, "'");
}

/// A new dataset with a checksum per chunk and no times.
inline Object create_dataset(const Object& group, const std::string& name, hid_t type, int rank,
                             const hsize_t* dims, const hsize_t* chunk) {
  const auto what = dataset_name(group, name);
  const Handle space(H5Sclose, H5Screate_simple(rank, dims, nullptr), what);
  const Handle creation(H5Pclose, H5Pcreate(H5P_DATASET_CREATE), what);
  check(H5Pset_obj_track_times(creation.id(), false), what);
  check(H5Pset_chunk(creation.id(), rank, chunk), what);
  check(H5Pset_fletcher32(creation.id()), what);
  return {
      Handle(H5Dclose,
             H5Dcreate2(group.id(), name.c_str(), type, space.id(), H5P_DEFAULT, creation.id(), H5P_DEFAULT),
             what),
      what};
}

inline Object open_dataset(const Object& group, const std::string& name) {
  const auto what = dataset_name(group, name);
  return {Handle(H5Dclose, H5Dopen2(group.id(), name.c_str(), H5P_DEFAULT), what), what};
}

inline void require_type(const Object& dataset, hid_t expected) {
  const Handle type(H5Tclose, H5Dget_type(dataset.id()), dataset.name);
  require(H5Tequal(type.id(), expected) > 0, dataset.name, " does not hold little-endian ",
          H5Tequal(expected, H5T_IEEE_F32LE) > 0 ? "float32" : "float64");
}

inline void require_shape(const Object& dataset, const Extent& expected) {
  const Handle space(H5Sclose, H5Dget_space(dataset.id()), dataset.name);
  const auto rank = static_cast<std::size_t>(check(H5Sget_simple_extent_ndims(space.id()), dataset.name));
  std::vector<hsize_t> dims(rank);
  check(H5Sget_simple_extent_dims(space.id(), dims.data(), nullptr), dataset.name);
  std::string shape;
  for (const auto dim : dims) shape += concat(shape.empty() ? "" : ", ", dim);
  require(concat("[", shape, "]") == expected.text(), dataset.name, " has shape [", shape, "], expected ",
          [&] { return expected.text(); });
}

}  // namespace detail

/// One parameter's values as a dataset. Waits for the device; never holds more than one chunk on the host.
/// Throws Error.
template <device::Device D, class T>
void write_parameter(D& device, const Object& group, const ParameterInfo& parameter, const T* values,
                     NumberType stored = NumberType::float32) {
  const QuietErrors quiet;
  const detail::Extent extent(parameter);
  const std::array<hsize_t, 2> chunk{extent.chunk, extent.dims[1]};
  auto dataset = detail::create_dataset(group, parameter.name, detail::file_type<T>(stored), extent.rank,
                                        extent.dims.data(), chunk.data());
  std::vector<T> host(extent.chunk * extent.row);
  detail::for_each_chunk(extent, dataset, [&](hid_t memory, hid_t file, std::size_t first, std::size_t n) {
    device.copy_to_host(host.data(), values + first, n);
    check(H5Dwrite(dataset.id(), detail::memory_type<T>(), memory, file, H5P_DEFAULT, host.data()),
          dataset.name);
  });
  dataset.handle.close(dataset.name);
}

/// Reads `rows.rows` rows of a parameter, of which the dataset holds these alone, or all: then they begin at
/// `first_row`. Throws Error like read_parameter.
template <device::Device D, class T>
void read_rows(D& device, const Object& group, const ParameterInfo& rows, std::size_t first_row, T* values,
               NumberType stored) {
  const QuietErrors quiet;
  const auto dataset = detail::open_dataset(group, rows.name);
  detail::require_type(dataset, detail::file_type<T>(stored));
  const Handle space(H5Sclose, H5Dget_space(dataset.id()), dataset.name);
  const detail::Extent extent(rows);
  std::array<hsize_t, 2> dims{0, 0};
  if (check(H5Sget_simple_extent_ndims(space.id()), dataset.name) == 2)
    check(H5Sget_simple_extent_dims(space.id(), dims.data(), nullptr), dataset.name);
  const bool has_more =
      extent.rank == 2 && dims[1] == rows.cols && dims[0] > rows.rows && first_row <= dims[0] - rows.rows;
  if (!has_more) detail::require_shape(dataset, extent);
  std::vector<T> host(extent.chunk * extent.row);
  detail::for_each_chunk(
      extent, dataset,
      [&](hid_t memory, hid_t file, std::size_t first, std::size_t n) {
        check(H5Dread(dataset.id(), detail::memory_type<T>(), memory, file, H5P_DEFAULT, host.data()),
              dataset.name, " is damaged: its values do not have their checksum, or cannot be read");
        device.copy_to_device(values + first, host.data(), n);
      },
      has_more ? first_row : 0);
}

/// One dataset per parameter of a region, float32. Waits for the device. Throws Error.
template <device::Device D, class T>
void write_region(D& device, const Object& group, const RegionLayout& layout, std::span<const T> region) {
  for (const auto& parameter : layout.parameters())
    write_parameter(device, group, parameter, region.data() + parameter.offset);
}

/// The parameters that a file or group holds, back to back in the order in which they were written. Throws
/// Error when something else is in it. Reads no values.
inline RegionLayout stored_layout(const Object& group) {
  const QuietErrors quiet;
  struct Stored {
    haddr_t address;
    std::string name;
    int rank;
    std::array<hsize_t, 2> dims;
  };
  std::vector<Stored> found;
  for (const auto& name : members(group)) {
    const auto dataset = detail::open_dataset(group, name);
    const Handle space(H5Sclose, H5Dget_space(dataset.id()), dataset.name);
    const int rank = check(H5Sget_simple_extent_ndims(space.id()), dataset.name);
    require(rank == 1 || rank == 2, dataset.name, " has ", rank, " dimensions, expected 1 or 2");
    std::array<hsize_t, 2> dims{1, 1};
    check(H5Sget_simple_extent_dims(space.id(), dims.data(), nullptr), dataset.name);
    require(dims[0] > 0 && dims[1] > 0, dataset.name, " is empty");
    require_memory(sizeof(float) * static_cast<double>(dims[0]) * static_cast<double>(dims[1]), dataset.name);
    found.push_back({address(dataset), name, rank, dims});
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
  RegionLayout layout;
  for (const auto& [address, name, rank, dims] : found)
    if (rank == 1)
      layout.vector(name, dims[0], Initializer::zeros());
    else
      layout.matrix(name, dims[0], dims[1], Initializer::zeros());
  return layout;
}

/// Throws Error unless `group` holds exactly the parameters of a region, in their shapes. Reads no values.
inline void require_region(const Object& group, const RegionLayout& layout) {
  const QuietErrors quiet;
  std::vector<std::string> names;
  for (const auto& parameter : layout.parameters()) names.push_back(parameter.name);
  require_members(group, names);
  for (const auto& parameter : layout.parameters()) {
    const auto dataset = detail::open_dataset(group, parameter.name);
    detail::require_type(dataset, H5T_IEEE_F32LE);
    detail::require_shape(dataset, detail::Extent(parameter));
  }
}

/// The reverse of write_region. Throws Error like require_region, and at a wrong checksum.
template <device::Device D, class T>
void read_region(D& device, const Object& group, const RegionLayout& layout, std::span<T> region) {
  require_region(group, layout);
  for (const auto& parameter : layout.parameters())
    read_rows(device, group, parameter, 0, region.data() + parameter.offset, NumberType::float32);
}

/// A checksummed text of any length, without zero bytes.
inline void write_text(const Object& group, const std::string& name, const std::string& text) {
  const QuietErrors quiet;
  require(text.find('\0') == std::string::npos, group.name, ": the text for '", name, "' has a zero byte");
  const auto type = detail::string_type(text.size());
  const hsize_t one = 1;
  auto dataset = detail::create_dataset(group, name, type.id(), 1, &one, &one);
  check(H5Dwrite(dataset.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.c_str()), dataset.name);
  dataset.handle.close(dataset.name);
}

inline std::string read_text(const Object& group, const std::string& name) {
  const QuietErrors quiet;
  const auto dataset = detail::open_dataset(group, name);
  const Handle type(H5Tclose, H5Dget_type(dataset.id()), dataset.name);
  const Handle space(H5Sclose, H5Dget_space(dataset.id()), dataset.name);
  require(H5Tget_class(type.id()) == H5T_STRING && H5Tis_variable_str(type.id()) <= 0 &&
              H5Sget_simple_extent_npoints(space.id()) == 1,
          dataset.name, " is not one string of fixed length");
  const std::size_t length = H5Tget_size(type.id());
  require_memory(static_cast<double>(length), dataset.name);
  std::string text(length, '\0');
  check(H5Dread(dataset.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.data()), dataset.name,
        " is damaged: its values do not have their checksum, or cannot be read");
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

}  // namespace demix::checkpoint::hdf5
