#pragma once
// The part of HDF5's C interface that checkpoints use: handles that close themselves, calls that throw,
// files, groups and attributes. Datasets are in dataset.hpp.

#include <hdf5.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demix/core/durable.hpp"
#include "demix/core/error.hpp"
#include "demix/core/memory_limit.hpp"

namespace demix::checkpoint::hdf5 {

/// While it lives, this thread's HDF5 calls print nothing: what they would say goes into the Error. The first
/// one also turns off HDF5's cleaning up at the program's end, which crashes after a full disk and complains
/// after a damaged file; handles close themselves.
class QuietErrors {
 public:
  QuietErrors() {
    H5dont_atexit();
    // HDF5's own exit handler would flush a file whose disk was full once more, and crash; ours are closed by
    // then.
    H5dont_atexit();
    H5Eget_auto2(H5E_DEFAULT, &print_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  ~QuietErrors() { H5Eset_auto2(H5E_DEFAULT, print_, data_); }
  QuietErrors(const QuietErrors&) = delete;
  QuietErrors& operator=(const QuietErrors&) = delete;

 private:
  H5E_auto2_t print_ = nullptr;
  void* data_ = nullptr;
};

/// What the innermost function of the last failed call said; where the system refused, the system's reason.
inline std::string innermost_error() {
  std::string text;
  const auto keep_first = [](unsigned n, const H5E_error2_t* error, void* out) -> herr_t {
    if (n == 0 && error->desc) *static_cast<std::string*>(out) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &text);
  constexpr std::string_view mark = "errno = ";
  if (const auto at = text.find(mark); at != std::string::npos)
    if (const int error = std::atoi(text.c_str() + at + mark.size())) return std::strerror(error);
  return text.empty() ? "HDF5 gave no reason" : text;
}

/// Returns what an HDF5 call returned, or throws Error with the message made of `parts` and HDF5's own
/// reason when that is negative, HDF5's sign of failure.
template <class Result, class... Parts>
Result check(Result result, const Parts&... parts) {
  if (result < 0) [[unlikely]]
    throw Error(concat(parts..., ": ", innermost_error()));
  return result;
}

/// Owns an HDF5 identifier.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);

  /// Takes `id`, the result of a call that opens something; throws Error like check() when that failed.
  template <class... Parts>
  Handle(Close closer, hid_t id, const Parts&... parts) : close_(closer), id_(check(id, parts...)) {}
  Handle(Handle&& other) noexcept : close_(other.close_), id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(close_, other.close_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~Handle() {
    const QuietErrors quiet;
    if (id_ >= 0) close_(id_);
  }

  hid_t id() const { return id_; }
  /// Closes now; throws Error when what was buffered cannot be written.
  template <class... Parts>
  void close(const Parts&... parts) {
    const QuietErrors quiet;
    check(close_(std::exchange(id_, H5I_INVALID_HID)), parts...);
  }

 private:
  Close close_;
  hid_t id_;
};

/// An open file, group or dataset, and what messages call it.
struct Object {
  Handle handle;
  std::string name;

  hid_t id() const { return handle.id(); }
};

namespace detail {

/// Checkpoint files never change once they have their name, so they need no locks, which some cluster file
/// systems lack.
inline Handle file_access() {
  Handle access(H5Pclose, H5Pcreate(H5P_FILE_ACCESS), "HDF5");
  check(H5Pset_file_locking(access.id(), false, true), "HDF5");
  return access;
}

/// No times, and all names and attributes in the group's header, which has room for `members` of them from
/// the start: HDF5 1.10 crashes on a damaged index of names.
inline Handle group_creation(hid_t property_class, std::size_t members) {
  constexpr unsigned most_in_header = 65535, name_length = 48;
  Handle creation(H5Pclose, H5Pcreate(property_class), "HDF5");
  check(H5Pset_obj_track_times(creation.id(), false), "HDF5");
  check(H5Pset_link_phase_change(creation.id(), most_in_header, 0), "HDF5");
  check(H5Pset_attr_phase_change(creation.id(), most_in_header, 0), "HDF5");
  const auto expected = static_cast<unsigned>(std::min<std::size_t>(members, most_in_header));
  check(H5Pset_est_link_info(creation.id(), expected, name_length), "HDF5");
  return creation;
}

/// A string type of `length` bytes; shorter strings are padded with zeros.
inline Handle string_type(std::size_t length) {
  Handle type(H5Tclose, H5Tcopy(H5T_C_S1), "HDF5");
  check(H5Tset_size(type.id(), std::max<std::size_t>(length, 1)), "HDF5");
  check(H5Tset_strpad(type.id(), H5T_STR_NULLPAD), "HDF5");
  check(H5Tset_cset(type.id(), H5T_CSET_UTF8), "HDF5");
  return type;
}

inline Handle scalar_space() { return Handle(H5Sclose, H5Screate(H5S_SCALAR), "HDF5"); }

inline std::string attribute_name(const Object& object, const char* name) {
  return concat(object.name, ": attribute '", name, "'");
}

inline void write_attribute(const Object& object, const char* name, const Handle& file_type,
                            const Handle& space, hid_t memory_type, const void* data) {
  const auto what = attribute_name(object, name);
  const Handle attribute(
      H5Aclose, H5Acreate2(object.id(), name, file_type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT), what);
  check(H5Awrite(attribute.id(), memory_type, data), what);
}

/// An attribute of `count` values of the class; count 0 stands for a list of any length.
struct Attribute {
  std::string what;
  Handle handle, type;
  std::size_t count;

  Attribute(const Object& object, const char* name, H5T_class_t expected, bool list)
      : what(attribute_name(object, name)),
        handle(H5Aclose, open(object, name), what),
        type(H5Tclose, H5Aget_type(handle.id()), what),
        count(count_of(handle, what)) {
    require(H5Tget_class(type.id()) == expected, what, " is not of the expected type, ",
            expected == H5T_INTEGER ? "an integer"
            : expected == H5T_FLOAT ? "a float"
                                    : "a string");
    require(list || count == 1, what, " holds ", count, " values, expected one");
  }

 private:
  hid_t open(const Object& object, const char* name) const {
    require(check(H5Aexists(object.id(), name), what) > 0, what, " is missing; is it a demix checkpoint?");
    return H5Aopen(object.id(), name, H5P_DEFAULT);
  }
  static std::size_t count_of(const Handle& attribute, const std::string& what) {
    const Handle space(H5Sclose, H5Aget_space(attribute.id()), what);
    return static_cast<std::size_t>(check(H5Sget_simple_extent_npoints(space.id()), what));
  }
};

}  // namespace detail

/// A new file that will hold about so many members. Throws Error, also where one exists. Files with the same
/// content are the same to the last byte: no times are kept.
inline Object create_file(const std::filesystem::path& path, std::size_t members) {
  const QuietErrors quiet;
  const Handle creation = detail::group_creation(H5P_FILE_CREATE, members), access = detail::file_access();
  // This format puts a checksum on every piece of metadata.
  check(H5Pset_libver_bounds(access.id(), H5F_LIBVER_V110, H5F_LIBVER_V110), "HDF5");
  return {Handle(H5Fclose, H5Fcreate(path.c_str(), H5F_ACC_EXCL, creation.id(), access.id()), path.string(),
                 ": cannot be created"),
          path.string()};
}

/// Writes a new file of about so many members with `fill(file)`; it is on the disk when this returns. Throws
/// Error.
template <class Fill>
void write_file(const std::filesystem::path& path, std::size_t members, Fill fill) {
  auto file = create_file(path, members);
  fill(file);
  file.handle.close(path.string(), ": cannot be completed");
  durable::sync(path);
}

/// An existing file, to be read. Throws Error.
inline Object open_file(const std::filesystem::path& path) {
  const QuietErrors quiet;
  const Handle access = detail::file_access();
  return {Handle(H5Fclose, H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()), path.string(),
                 ": cannot be opened as an HDF5 file; it is damaged or incomplete"),
          path.string()};
}

inline Object create_group(const Object& parent, const std::string& name, std::size_t members) {
  const QuietErrors quiet;
  const Handle creation = detail::group_creation(H5P_GROUP_CREATE, members);
  const auto what = concat(parent.name, ": group '", name, "'");
  return {
      Handle(H5Gclose, H5Gcreate2(parent.id(), name.c_str(), H5P_DEFAULT, creation.id(), H5P_DEFAULT), what),
      what};
}

inline Object open_group(const Object& parent, const std::string& name) {
  const QuietErrors quiet;
  const auto what = concat(parent.name, ": group '", name, "'");
  return {Handle(H5Gclose, H5Gopen2(parent.id(), name.c_str(), H5P_DEFAULT), what), what};
}

inline bool has_attribute(const Object& object, const char* name) {
  const QuietErrors quiet;
  return H5Aexists(object.id(), name) > 0;
}

/// Whether a file is HDF5 and has this attribute. Never throws.
inline bool has_attribute(const std::filesystem::path& path, const char* name) {
  try {
    return has_attribute(open_file(path), name);
  } catch (const Error&) {
    return false;
  }
}

/// The names of everything in a file's root or a group, sorted.
inline std::vector<std::string> members(const Object& group) {
  const QuietErrors quiet;
  std::vector<std::string> names;
  // HDF5 1.10 and 1.12 call the third one's type differently.
  const auto append = [](hid_t, const char* name, const auto*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  check(H5Literate(group.id(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, append, &names), group.name);
  std::sort(names.begin(), names.end());
  return names;
}

/// Where an object begins in its file: objects that were written later stand further behind.
inline haddr_t address(const Object& object) {
  const QuietErrors quiet;
#if H5_VERSION_GE(1, 12, 0)
  H5O_info2_t info;
  haddr_t result;
  check(H5Oget_info3(object.id(), &info, H5O_INFO_BASIC), object.name);
  check(H5VLnative_token_to_addr(object.id(), info.token, &result), object.name);
  return result;
#else
  H5O_info_t info;
  check(H5Oget_info2(object.id(), &info, H5O_INFO_BASIC), object.name);
  return info.addr;
#endif
}

/// Throws Error, which names the first missing or unknown one, unless the members of `group` are exactly
/// `expected`.
inline void require_members(const Object& group, std::vector<std::string> expected) {
  std::sort(expected.begin(), expected.end());
  const auto found = members(group);
  for (const auto& name : expected)
    require(std::binary_search(found.begin(), found.end(), name), group.name, ": '", name, "' is missing");
  for (const auto& name : found)
    require(std::binary_search(expected.begin(), expected.end(), name), group.name, ": unknown '", name,
            "', which the model does not have");
}

inline void write_attribute(const Object& object, const char* name, std::uint64_t value) {
  const QuietErrors quiet;
  detail::write_attribute(object, name, Handle(H5Tclose, H5Tcopy(H5T_STD_U64LE), "HDF5"),
                          detail::scalar_space(), H5T_NATIVE_UINT64, &value);
}

inline void write_attribute(const Object& object, const char* name, float value) {
  const QuietErrors quiet;
  detail::write_attribute(object, name, Handle(H5Tclose, H5Tcopy(H5T_IEEE_F32LE), "HDF5"),
                          detail::scalar_space(), H5T_NATIVE_FLOAT, &value);
}

inline void write_attribute(const Object& object, const char* name, const std::string& value) {
  const QuietErrors quiet;
  const auto type = detail::string_type(value.size());
  detail::write_attribute(object, name, type, detail::scalar_space(), type.id(), value.c_str());
}

inline void write_attribute(const Object& object, const char* name, const std::vector<std::string>& values) {
  const QuietErrors quiet;
  std::size_t longest = 1;
  for (const auto& value : values) longest = std::max(longest, value.size());
  std::string padded;
  for (const auto& value : values) padded += value + std::string(longest - value.size(), '\0');
  const auto type = detail::string_type(longest);
  const hsize_t count = values.size();
  detail::write_attribute(object, name, type,
                          Handle(H5Sclose, H5Screate_simple(1, &count, nullptr), object.name), type.id(),
                          padded.data());
}

/// A string or a list of them; of fixed length, as demix writes them, or of variable length, as h5py does.
inline std::vector<std::string> read_strings(const Object& object, const char* name) {
  const QuietErrors quiet;
  const detail::Attribute attribute(object, name, H5T_STRING, true);
  if (H5Tis_variable_str(attribute.type.id()) > 0) {
    std::vector<char*> texts(attribute.count, nullptr);
    check(H5Aread(attribute.handle.id(), attribute.type.id(), texts.data()), attribute.what);
    std::vector<std::string> values;
    for (char* text : texts) {
      values.emplace_back(text ? text : "");
      H5free_memory(text);
    }
    return values;
  }
  const std::size_t length = H5Tget_size(attribute.type.id());
  require_memory(static_cast<double>(attribute.count) * static_cast<double>(length), attribute.what);
  std::string padded(attribute.count * length, '\0');
  check(H5Aread(attribute.handle.id(), attribute.type.id(), padded.data()), attribute.what);
  std::vector<std::string> values;
  for (std::size_t i = 0; i < attribute.count; ++i)
    values.emplace_back(padded.substr(i * length, length).c_str());
  return values;
}

/// A single value: Error when it is absent, of another type or a list.
template <class T>
T read_attribute(const Object& object, const char* name) {
  const QuietErrors quiet;
  if constexpr (std::same_as<T, std::string>) {
    const auto values = read_strings(object, name);
    require(
        values.size() == 1, [&] { return detail::attribute_name(object, name); }, " holds ", values.size(),
        " values, expected one");
    return values.front();
  } else {
    static_assert(std::same_as<T, float> || std::same_as<T, std::uint64_t>);
    constexpr bool integer = std::same_as<T, std::uint64_t>;
    const detail::Attribute attribute(object, name, integer ? H5T_INTEGER : H5T_FLOAT, false);
    T value{};
    check(H5Aread(attribute.handle.id(), integer ? H5T_NATIVE_UINT64 : H5T_NATIVE_FLOAT, &value),
          attribute.what);
    return value;
  }
}

}  // namespace demix::checkpoint::hdf5
