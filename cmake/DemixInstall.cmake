include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(DEMIX_PACKAGE_DIR ${CMAKE_INSTALL_DATADIR}/cmake/demix)
install(DIRECTORY ${DEMIX_INCLUDE_DIR}/demix DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/demixConfig.cmake.in ${PROJECT_BINARY_DIR}/demixConfig.cmake
                              INSTALL_DESTINATION ${DEMIX_PACKAGE_DIR} PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/demixConfigVersion.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/demixConfig.cmake ${PROJECT_BINARY_DIR}/demixConfigVersion.cmake
              ${CMAKE_CURRENT_LIST_DIR}/DemixDependencies.cmake ${CMAKE_CURRENT_LIST_DIR}/DemixTargets.cmake
        DESTINATION ${DEMIX_PACKAGE_DIR})
