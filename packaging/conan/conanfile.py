"""planish for Conan 2, from the tree that this file lies in: conan create packaging/conan"""

import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout

required_conan_version = ">=2.0"


class PlanishConan(ConanFile):
    name = "planish"
    description = "Header-only C++20 quantization with flattening transforms, for hosts that embed it"
    license = "MIT"
    topics = ("quantization", "inference", "simd", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"calibration": [True, False]}  # planish::calibration, which brings Eigen
    default_options = {"calibration": False}
    no_copy_source = True

    def set_version(self):
        header = load(self, os.path.join(self._tree, "include", "planish", "core", "version.hpp"))
        parts = re.findall(r"#define PLANISH_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)
        self.version = ".".join(parts)

    @property
    def _tree(self):
        return os.path.join(self.recipe_folder, os.pardir, os.pardir)

    def export_sources(self):
        copy(self, "include/planish/*", src=self._tree, dst=self.export_sources_folder)
        copy(self, "LICENSE", src=self._tree, dst=self.export_sources_folder)

    def layout(self):
        basic_layout(self)

    def requirements(self):
        self.requires("xsimd/[>=8.1.0]", transitive_headers=True)
        if self.options.calibration:
            self.requires("eigen/[>=3.4.0 <4]", transitive_headers=True)

    def package_id(self):
        self.info.clear()

    def validate(self):
        check_min_cppstd(self, 20)

    def package(self):
        copy(self, "LICENSE", src=self.source_folder, dst=os.path.join(self.package_folder, "licenses"))
        copy(self, "include/planish/*", src=self.source_folder, dst=self.package_folder)

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "planish")
        names = {"planish": ["xsimd::xsimd"], "io": ["planish"]}
        if self.options.calibration:
            names["calibration"] = ["io", "eigen::eigen"]
        for name, needs in names.items():
            component = self.cpp_info.components[name]
            component.set_property("cmake_target_name", f"planish::{name}")
            component.set_property("pkg_config_name", "planish" if name == "planish" else f"planish-{name}")
            component.requires = needs
            component.bindirs = []
            component.libdirs = []
