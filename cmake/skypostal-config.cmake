# For find_package(skypostal): skypostal::skypostal is the shared library, skypostal::static the
# static one. Paths are seen from this file; `make install` writes those that it used into the
# next two lines.
set(_skypostal_include ../../../include)
set(_skypostal_folders ../../../lib/${CMAKE_LIBRARY_ARCHITECTURE} ../../../lib64 ../../../lib)

get_filename_component(_skypostal_include "${CMAKE_CURRENT_LIST_DIR}/${_skypostal_include}" ABSOLUTE)
foreach(_skypostal_folder IN LISTS _skypostal_folders)
  get_filename_component(_skypostal_lib "${CMAKE_CURRENT_LIST_DIR}/${_skypostal_folder}" ABSOLUTE)
  if(EXISTS "${_skypostal_lib}/libskypostal.so")
    break()
  endif()
endforeach()

if(NOT EXISTS "${_skypostal_lib}/libskypostal.so")
  set(skypostal_FOUND FALSE)
  set(skypostal_NOT_FOUND_MESSAGE "there is no libskypostal.so in ${_skypostal_lib}")
elseif(NOT TARGET skypostal::skypostal)
  add_library(skypostal::skypostal SHARED IMPORTED)
  set_target_properties(skypostal::skypostal PROPERTIES
    IMPORTED_LOCATION "${_skypostal_lib}/libskypostal.so"
    INTERFACE_INCLUDE_DIRECTORIES "${_skypostal_include}")
  add_library(skypostal::static STATIC IMPORTED)
  set_target_properties(skypostal::static PROPERTIES
    IMPORTED_LOCATION "${_skypostal_lib}/libskypostal.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_skypostal_include}"
    INTERFACE_LINK_LIBRARIES "util;rt;pthread;m;dl")
endif()

unset(_skypostal_include)
unset(_skypostal_folders)
unset(_skypostal_lib)
