# Headers and relocatable packages: find_package(planish) gives planish::planish, planish::io and, where Eigen is found,
# planish::calibration; pkg-config has the same three as planish, planish-io and planish-calibration.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set_target_properties(planish_io PROPERTIES EXPORT_NAME io)
set_target_properties(planish_calibration PROPERTIES EXPORT_NAME calibration)
set(package ${CMAKE_INSTALL_DATADIR}/cmake/planish)

install(DIRECTORY include/planish DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT planish
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh")
install(TARGETS planish planish_io EXPORT planishTargets)
install(EXPORT planishTargets NAMESPACE planish:: DESTINATION ${package} COMPONENT planish)
install(TARGETS planish_calibration EXPORT planishCalibrationTargets)
install(EXPORT planishCalibrationTargets NAMESPACE planish:: DESTINATION ${package} COMPONENT planish)

configure_package_config_file(cmake/planishConfig.cmake.in ${PROJECT_BINARY_DIR}/planishConfig.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/planishConfigVersion.cmake COMPATIBILITY SameMajorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/planishConfig.cmake ${PROJECT_BINARY_DIR}/planishConfigVersion.cmake
              cmake/planishXsimd.cmake
        DESTINATION ${package} COMPONENT planish)

foreach(module planish planish-io planish-calibration)
  configure_file(cmake/${module}.pc.in ${PROJECT_BINARY_DIR}/${module}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${module}.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig COMPONENT planish)
endforeach()
