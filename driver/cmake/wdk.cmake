# Drivers with MSVC and the Windows Driver Kit. Run from a developer prompt; the newest kit found is used.
# Not yet run on real Windows.
enable_language(ASM_MASM)

set(HS_WDK_ROOT "$ENV{WDKContentRoot}" CACHE PATH "Windows Kits folder, e.g. C:/Program Files (x86)/Windows Kits/10")
if(NOT HS_WDK_ROOT)
  set(HS_WDK_ROOT "C:/Program Files (x86)/Windows Kits/10" CACHE PATH "" FORCE)
endif()
file(GLOB hs_kits RELATIVE "${HS_WDK_ROOT}/Include" "${HS_WDK_ROOT}/Include/*/km/wdm.h")
if(NOT hs_kits)
  message(FATAL_ERROR "No Windows Driver Kit under ${HS_WDK_ROOT}: install the WDK, or set HS_WDK_ROOT.")
endif()
list(SORT hs_kits COMPARE NATURAL ORDER DESCENDING)
list(GET hs_kits 0 hs_kit)
string(REGEX REPLACE "/km/wdm.h$" "" HS_WDK_VERSION "${hs_kit}")
message(STATUS "Windows Driver Kit ${HS_WDK_VERSION}")

# Kits from 26100 on declare the DriverProxy family; ours must then stay out of the way.
file(STRINGS "${HS_WDK_ROOT}/Include/${HS_WDK_VERSION}/km/wdm.h" hs_declared
     REGEX "_DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT" LIMIT_COUNT 1)

# hs_add_driver(NAME [EXPORTS] [IMPORTS driver...] SOURCES file... [MASM file...])
function(hs_add_driver name)
  cmake_parse_arguments(ARG "EXPORTS" "" "IMPORTS;SOURCES;MASM" ${ARGN})
  set(lib "${HS_WDK_ROOT}/Lib/${HS_WDK_VERSION}/km/x64")

  add_executable(${name} ${ARG_SOURCES} ${ARG_MASM})
  set_target_properties(${name} PROPERTIES SUFFIX .sys MSVC_RUNTIME_LIBRARY "" ENABLE_EXPORTS ${ARG_EXPORTS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/include)
  target_include_directories(${name} SYSTEM PRIVATE
    "${HS_WDK_ROOT}/Include/${HS_WDK_VERSION}/km" "${HS_WDK_ROOT}/Include/${HS_WDK_VERSION}/shared")
  target_compile_definitions(${name} PRIVATE
    _AMD64_ _WIN64 NTDDI_VERSION=0x0A000000 _WIN32_WINNT=0x0A00 WINVER=0x0A00 HS_HAVE_WDMSEC
    $<$<BOOL:${hs_declared}>:HS_WDM_HAS_DRIVER_PROXY>)
  # No /guard:cf: wrapper stubs are entered at computed addresses, which its table does not list.
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:C>:/kernel /W4 /WX /GS /Gz /Zi /Oy- /wd4201 /wd4214 /wd4324>)
  target_link_options(${name} PRIVATE
    /DRIVER /SUBSYSTEM:NATIVE,10.00 /ENTRY:GsDriverEntry /NODEFAULTLIB /DYNAMICBASE /NXCOMPAT /DEBUG /RELEASE /INCREMENTAL:NO
    /OPT:REF /OPT:ICF /PDBALTPATH:%_PDB%)
  foreach(driver IN LISTS ARG_IMPORTS)
    target_link_libraries(${name} PRIVATE ${driver})
  endforeach()
  target_link_libraries(${name} PRIVATE
    "${lib}/ntoskrnl.lib" "${lib}/hal.lib" "${lib}/wdmsec.lib" "${lib}/BufferOverflowFastFailK.lib")
endfunction()

function(hs_set_image_version name version)
  target_link_options(${name} PRIVATE /VERSION:${version}.0)
endfunction()
