# An overlay port that builds from the tree it lies in: vcpkg install planish --overlay-ports=packaging/vcpkg
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(VCPKG_BUILD_TYPE release)  # headers only

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        -DPLANISH_BUILD_TESTS=OFF
        -DPLANISH_BUILD_EXAMPLES=OFF
        -DPLANISH_BUILD_BENCH=OFF
        -DPLANISH_INSTALL=ON
        -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON  # what is installed does not depend on it
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME planish CONFIG_PATH share/cmake/planish)
vcpkg_fixup_pkgconfig()
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
