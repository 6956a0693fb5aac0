#pragma once
// Umbrella of calibration: activations → observers → method → parameters. Needs Eigen; the run-time half does not.
#if !__has_include(<Eigen/Core>)
#error "planish/calibration.hpp needs Eigen 3.4 (Debian: libeigen3-dev): -isystem /usr/include/eigen3"
#endif

#include <planish/calibration/channel_mean.hpp>
#include <planish/calibration/channel_range.hpp>
#include <planish/calibration/methods/flatquant/fit.hpp>
#include <planish/calibration/methods/flatquant/fit_moment.hpp>
#include <planish/calibration/methods/flatquant_file.hpp>
#include <planish/calibration/methods/outlier_suppression.hpp>
#include <planish/calibration/methods/smooth_quant.hpp>
#include <planish/calibration/methods/weight_clip.hpp>
#include <planish/calibration/rounding/gptq.hpp>
#include <planish/calibration/second_moment.hpp>
