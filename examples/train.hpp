#pragma once

/// The main of a trainer: the name that it is called by, the model type of models.cpp that it trains, and the
/// first lines of --help. Returns the exit code.
int train(int argc, char** argv, const char* program, const char* model, const char* purpose);
