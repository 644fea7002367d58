# Drivers with MSVC and the Windows Driver Kit. Run from a developer prompt; the newest kit found is used.
# Not yet run on real Windows.
enable_language(ASM_MASM)

file(TO_CMAKE_PATH "$ENV{WDKContentRoot}" hs_wdk_root) # the variable ends in a backslash
string(REGEX REPLACE "/+$" "" hs_wdk_root "${hs_wdk_root}")
if(NOT hs_wdk_root)
  set(hs_wdk_root "C:/Program Files (x86)/Windows Kits/10")
endif()
set(HS_WDK_ROOT "${hs_wdk_root}" CACHE PATH "Windows Kits folder, e.g. C:/Program Files (x86)/Windows Kits/10")
file(GLOB hs_kits RELATIVE "${HS_WDK_ROOT}/Include" "${HS_WDK_ROOT}/Include/*/km/wdm.h")
if(NOT hs_kits)
  message(FATAL_ERROR "No Windows Driver Kit under ${HS_WDK_ROOT}: install the WDK, or set HS_WDK_ROOT.")
endif()
list(SORT hs_kits COMPARE NATURAL ORDER DESCENDING)
list(GET hs_kits 0 hs_kit)
string(REGEX REPLACE "/km/wdm.h$" "" HS_WDK_VERSION "${hs_kit}")
message(STATUS "Windows Driver Kit ${HS_WDK_VERSION}")

set(HS_KERNEL_INCLUDES
  "${HS_WDK_ROOT}/Include/${HS_WDK_VERSION}/km" "${HS_WDK_ROOT}/Include/${HS_WDK_VERSION}/km/crt"
  "${HS_WDK_ROOT}/Include/${HS_WDK_VERSION}/shared")
# The oldest Windows that the drivers load on. What is newer is looked up at run time.
set(HS_KERNEL_DEFINITIONS _AMD64_ NTDDI_VERSION=0x0A000000 _WIN32_WINNT=0x0A00 WINVER=0x0A00)

# Kits from 26100 on declare the DriverProxy family, and ours must then stay out of the way. Asked of the compiler, because
# the declarations depend on NTDDI_VERSION.
include(CheckCSourceCompiles)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_REQUIRED_INCLUDES ${HS_KERNEL_INCLUDES})
list(TRANSFORM HS_KERNEL_DEFINITIONS PREPEND -D OUTPUT_VARIABLE CMAKE_REQUIRED_DEFINITIONS)
check_c_source_compiles(
  "#include <ntifs.h>\nDRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT context;" HS_WDM_DECLARES_DRIVER_PROXY)

# Off, of /W4: 4201 and 4214 (nameless unions, bit fields of ULONG: the WDK's own style, and the DriverProxy types), 4204
# (initialisers that are not constant: C99), 4232 (the table of functions imported from driverproxy.sys), 4324 (padding asked
# for).
# No /guard:cf: wrapper stubs are entered at computed addresses, which its table does not list.
set(HS_KERNEL_COMPILE_OPTIONS /kernel /W4 /WX /GS /Gz /Zi /wd4201 /wd4204 /wd4214 /wd4232 /wd4324)

# Headers are not compiled beforehand here.
function(hs_add_headers name header)
endfunction()

# hs_add_driver(NAME [EXPORTS] [PCH header | HEADERS target] [IMPORTS driver...] SOURCES file... [MASM file...])
function(hs_add_driver name)
  cmake_parse_arguments(ARG "EXPORTS" "PCH;HEADERS" "IMPORTS;SOURCES;MASM" ${ARGN})
  set(lib "${HS_WDK_ROOT}/Lib/${HS_WDK_VERSION}/km/x64")

  add_executable(${name} ${ARG_SOURCES} ${ARG_MASM})
  set_target_properties(${name} PROPERTIES SUFFIX .sys MSVC_RUNTIME_LIBRARY "" ENABLE_EXPORTS ${ARG_EXPORTS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/include)
  target_include_directories(${name} SYSTEM PRIVATE ${HS_KERNEL_INCLUDES})
  target_compile_definitions(${name} PRIVATE
    ${HS_KERNEL_DEFINITIONS} HS_HAVE_WDMSEC $<$<BOOL:${HS_WDM_DECLARES_DRIVER_PROXY}>:HS_WDM_HAS_DRIVER_PROXY>)
  target_compile_options(${name} PRIVATE "$<$<COMPILE_LANGUAGE:C>:${HS_KERNEL_COMPILE_OPTIONS}>")
  target_link_options(${name} PRIVATE
    /DRIVER /SUBSYSTEM:NATIVE,10.00 /ENTRY:GsDriverEntry /NODEFAULTLIB /DYNAMICBASE /NXCOMPAT /DEBUG /RELEASE /INCREMENTAL:NO
    /MANIFEST:NO /OPT:REF /OPT:NOICF /PDBALTPATH:%_PDB%) # folded, endpoints of equal code would have one address between them
  foreach(driver IN LISTS ARG_IMPORTS)
    target_link_libraries(${name} PRIVATE ${driver})
  endforeach()
  target_link_libraries(${name} PRIVATE
    "${lib}/ntoskrnl.lib" "${lib}/hal.lib" "${lib}/wdmsec.lib" "${lib}/BufferOverflowFastFailK.lib")
endfunction()

function(hs_set_image_version name version)
  target_link_options(${name} PRIVATE /VERSION:${version}.0)
endfunction()
