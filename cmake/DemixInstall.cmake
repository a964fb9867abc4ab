include(GNUInstallDirs)
install(DIRECTORY include/demix DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
