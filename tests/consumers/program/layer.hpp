#pragma once
#include <planish/core/status.hpp>

/// Runs the layer of layer.cpp and prints a line about it.
bool layer_is_right();

void print_status(const planish::Status& status);
