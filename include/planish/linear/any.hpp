#pragma once
// The run-time twins: stages, sites and linears whose types come from a file or a recipe.
#include <planish/linear/any_linear.hpp>
#include <planish/linear/any_site.hpp>
#include <planish/linear/any_stage.hpp>
#include <planish/linear/any_transform.hpp>
#include <planish/linear/multiply_together.hpp>
#include <planish/linear/stage_registry.hpp>
