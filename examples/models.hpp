#pragma once

#include "demix/program/model_type.hpp"

/// The types of models that the programs of this folder know; models.cpp lists them.
demix::program::ModelList models();
