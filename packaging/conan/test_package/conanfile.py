"""Builds and runs the program that all of planish's consumers share."""

import os

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout


class PlanishTest(ConanFile):
    settings = "os", "arch", "compiler", "build_type"
    generators = ("CMakeDeps",)

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False  # leaves nothing in the tree
        program = os.path.join(self.recipe_folder, *[os.pardir] * 3, "tests", "consumers", "program")
        toolchain.cache_variables["PROGRAM"] = os.path.abspath(program)
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def test(self):
        for name in ("consumer", "consumer-calibration"):
            program = os.path.join(self.cpp.build.bindir, name)
            if can_run(self) and os.path.exists(program):
                self.run(program, env="conanrun")
