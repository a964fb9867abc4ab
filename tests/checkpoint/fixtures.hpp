#pragma once
// Small models, folders that remove themselves, and ways to damage files.

#include <hdf5.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "demix/checkpoint/checkpoint.hpp"
#include "demix/core/philox.hpp"
#include "demix/device/cpu.hpp"
#include "demix/model/experiments.hpp"
#include "processes.hpp"
#include "temporary_folder.hpp"

namespace demix::test {

namespace fs = std::filesystem;
using Dense = DenseModel<device::Cpu, Fp32, ops::Relu>;
using DomainTokens = DomainTokenModel<device::Cpu, Fp32, ops::Relu>;
using Experts = DEMixModel<device::Cpu, Fp32, ops::Relu>;

/// f.operator()<Model>() with the model of experts that has the configuration's activation.
template <class F>
auto with_experts_of(const ModelConfig& config, F f) {
  if (config.activation == "gelu") return f.template operator()<DEMixModel<device::Cpu, Fp32, ops::Gelu>>();
  return f.template operator()<Experts>();
}

inline ModelConfig small_config() {
  ModelConfig config;
  config.layers = 2;
  config.d_model = 8;
  config.heads = 2;
  config.d_ffn = 12;
  config.vocabulary = 11;
  config.tokens_per_sample = 5;
  return config;
}

template <class Model>
checkpoint::Metadata metadata_of(const Model& model, const std::string& experiment, std::uint64_t step = 3) {
  return {experiment, model.dictionary_config(), model.domains(), "fingerprint-1", step};
}

/// f(info, values) for every parameter of every region.
template <class Model, class Arena, class F>
void for_each_parameter(const Model& model, Arena& arena, F f) {
  for (const RegionId r : arena.regions())
    for (const auto& info : r.layout(model.layout()).parameters())
      f(info, arena.region(r).subspan(info.offset, info.size()));
}

/// Fills an arena of floats with random bits: also NaNs, infinities, denormals and negative zeros.
template <class Model, class Arena>
void fill_random_bits(const Model& model, Arena& arena, std::uint64_t seed) {
  std::uint32_t count = 0;
  for_each_parameter(model, arena, [&](const ParameterInfo&, std::span<float> values) {
    for (float& value : values) {
      const auto bits = philox(Seed{seed}, count++, 0, 0, 0).word[0];
      std::memcpy(&value, &bits, sizeof value);
    }
  });
}

/// How many values of two arenas of a model differ in any bit.
template <class Model, class Arena>
std::size_t differing_values(const Model& model, Arena& a, Arena& b) {
  std::size_t count = 0;
  for (const RegionId r : a.regions())
    for (const auto& info : r.layout(model.layout()).parameters())
      for (std::size_t i = info.offset; i < info.offset + info.size(); ++i)
        count += std::memcmp(&a.region(r)[i], &b.region(r)[i], sizeof a.region(r)[i]) != 0;
  return count;
}

/// Two arenas as the moments of Adam.
template <class Model, class Arena>
checkpoint::TrainingState<typename Arena::value_type> state_of(const Model& model, Arena& m, Arena& v,
                                                               std::string scalars = "{}") {
  checkpoint::TrainingState<typename Arena::value_type> state;
  state.slots.push_back(checkpoint::weights_of(model.layout(), m));
  state.slots.push_back(checkpoint::weights_of(model.layout(), v));
  state.slots[0].name = "adam_m";
  state.slots[1].name = "adam_v";
  state.scalars = std::move(scalars);
  return state;
}

template <class Model>
void save_without_state(const fs::path& path, const std::string& experiment, Model& model,
                        std::uint64_t step = 3) {
  checkpoint::save(path, metadata_of(model, experiment, step), model);
}

/// The message of the Error that f throws, or "no error".
template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

inline bool mentions(const std::string& text, std::initializer_list<std::string> words) {
  for (const auto& word : words)
    if (text.find(word) == std::string::npos) return false;
  return true;
}

inline std::string read_bytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Changes an HDF5 file from outside of the library: f(file identifier).
template <class F>
void tamper(const fs::path& path, F f) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  require(file >= 0, "cannot tamper with ", path);
  f(file);
  require(H5Fclose(file) >= 0, "cannot close ", path);
}

inline void set_integer(const fs::path& path, const char* name, std::uint64_t value) {
  tamper(path, [&](hid_t file) {
    const hid_t attribute = H5Aopen(file, name, H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_UINT64, &value);
    H5Aclose(attribute);
  });
}

/// Replaces an attribute by this text.
inline void set_text(const fs::path& path, const char* name, const std::string& text) {
  tamper(path, [&](hid_t file) {
    H5Adelete(file, name);
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, text.size());
    const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, type, text.c_str());
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
  });
}

/// Replaces a dataset by one of zeros of this shape and type.
inline void replace_dataset(const fs::path& path, const char* name, std::vector<hsize_t> shape,
                            hid_t type = H5T_IEEE_F32LE) {
  tamper(path, [&](hid_t file) {
    if (H5Lexists(file, name, H5P_DEFAULT) > 0) H5Ldelete(file, name, H5P_DEFAULT);
    const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
    H5Dclose(H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
  });
}

/// Where the stored values of a dataset begin in a file.
inline std::size_t offset_of(const fs::path& path, const char* dataset) {
  haddr_t address = 0;
  tamper(path, [&](hid_t file) {
    const hid_t id = H5Dopen2(file, dataset, H5P_DEFAULT);
    const hid_t space = H5Dget_space(id);
    hsize_t offset[2];
    unsigned mask;
    hsize_t size;
    H5Dget_chunk_info(id, space, 0, offset, &mask, &address, &size);
    H5Sclose(space);
    H5Dclose(id);
  });
  return static_cast<std::size_t>(address);
}

/// The exit status of a child process that runs f, see start_child.
template <class F>
int run_child(F f) {
  return status_of(start_child(f));
}

}  // namespace demix::test
