# For find_package(skypostal): skypostal::skypostal is the shared library, skypostal::static the
# static one, which Microsoft's linker cannot take. Paths are seen from this file; `make install`
# writes those that it used into the next two lines.
set(_skypostal_include ../../../include)
set(_skypostal_folders ../../../lib/${CMAKE_LIBRARY_ARCHITECTURE} ../../../lib64 ../../../lib)

# The file that a program is linked with.
if(MINGW)
  set(_skypostal_name libskypostal.dll.a)
elseif(WIN32)
  set(_skypostal_name skypostal.lib)
elseif(APPLE)
  set(_skypostal_name libskypostal.dylib)
else()
  set(_skypostal_name libskypostal.so)
endif()

get_filename_component(_skypostal_include "${CMAKE_CURRENT_LIST_DIR}/${_skypostal_include}" ABSOLUTE)
foreach(_skypostal_folder IN LISTS _skypostal_folders)
  get_filename_component(_skypostal_lib "${CMAKE_CURRENT_LIST_DIR}/${_skypostal_folder}" ABSOLUTE)
  if(EXISTS "${_skypostal_lib}/${_skypostal_name}")
    break()
  endif()
endforeach()

if(NOT EXISTS "${_skypostal_lib}/${_skypostal_name}")
  set(skypostal_FOUND FALSE)
  set(skypostal_NOT_FOUND_MESSAGE "there is no ${_skypostal_name} in ${_skypostal_lib}")
elseif(NOT TARGET skypostal::skypostal)
  add_library(skypostal::skypostal SHARED IMPORTED)
  set_target_properties(skypostal::skypostal PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_skypostal_include}")
  if(WIN32)
    get_filename_component(_skypostal_bin "${_skypostal_lib}/../bin" ABSOLUTE)
    set_target_properties(skypostal::skypostal PROPERTIES
      IMPORTED_LOCATION "${_skypostal_bin}/skypostal.dll"
      IMPORTED_IMPLIB "${_skypostal_lib}/${_skypostal_name}")
    unset(_skypostal_bin)
  else()
    set_target_properties(skypostal::skypostal PROPERTIES
      IMPORTED_LOCATION "${_skypostal_lib}/${_skypostal_name}")
  endif()
  if(MINGW OR NOT WIN32)
    add_library(skypostal::static STATIC IMPORTED)
    set_target_properties(skypostal::static PROPERTIES
      IMPORTED_LOCATION "${_skypostal_lib}/libskypostal.a"
      INTERFACE_INCLUDE_DIRECTORIES "${_skypostal_include}"
      INTERFACE_LINK_LIBRARIES "util;rt;pthread;m;dl")
  endif()
  if(APPLE)
    set_target_properties(skypostal::static PROPERTIES INTERFACE_LINK_LIBRARIES
      "-framework Security;-framework SystemConfiguration;-framework CoreFoundation;iconv")
  elseif(MINGW)
    set_target_properties(skypostal::static PROPERTIES
      INTERFACE_COMPILE_DEFINITIONS SKYPOSTAL_STATIC
      INTERFACE_LINK_LIBRARIES "kernel32;ntdll;userenv;ws2_32;dbghelp;crypt32;secur32;ncrypt")
  endif()
endif()

unset(_skypostal_include)
unset(_skypostal_folders)
unset(_skypostal_name)
unset(_skypostal_lib)
