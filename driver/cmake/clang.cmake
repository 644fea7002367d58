# Drivers with clang and lld. The image is a driver, not a DLL, also where it exports: never -shared.
find_program(HS_MASM NAMES llvm-ml llvm-ml-14 llvm-ml-15 llvm-ml-16 llvm-ml-17 llvm-ml-18 llvm-ml-19 REQUIRED)
find_path(HS_DDK_INCLUDE ntddk.h # mingw-w64's kernel headers: where Debian and where Fedora put them
  PATHS /usr/x86_64-w64-mingw32/include/ddk /usr/x86_64-w64-mingw32/sys-root/mingw/include/ddk
  NO_CMAKE_FIND_ROOT_PATH REQUIRED)

set(HS_KERNEL_COMPILE_OPTIONS
  -Wall -Wextra -Werror -O2 -g -gcodeview -ffreestanding -fno-stack-protector -mno-red-zone
  -fasynchronous-unwind-tables # -ffreestanding turns unwind data off, and without it no kernel stack can be walked
  -fno-strict-aliasing
  "-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.")

set(HS_KERNEL_LINK_OPTIONS
  -nostdlib -fuse-ld=lld
  -Wl,--subsystem,native -Wl,--entry,DriverEntry -Wl,--exclude-all-symbols
  -Wl,--disable-auto-import -Wl,--disable-runtime-pseudo-reloc
  -Wl,--dynamicbase -Wl,--nxcompat
  -Wl,--major-os-version=10 -Wl,--minor-os-version=0
  -Wl,--major-subsystem-version=10 -Wl,--minor-subsystem-version=0
  "SHELL:-Xlinker -Xlink=-section:.shsept,R" # llvm-ml makes every segment writable; -Wl would split at the comma
  -Wl,-Xlink=-pdbaltpath:%_PDB% -Wl,-Xlink=-Brepro)

set(CMAKE_C_STANDARD_LIBRARIES "") # no user-mode library by default

function(hs_set_kernel_options name)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/include)
  target_include_directories(${name} SYSTEM PRIVATE ${HS_DDK_INCLUDE})
  target_compile_options(${name} PRIVATE ${HS_KERNEL_COMPILE_OPTIONS})
endfunction()

# hs_add_headers(NAME header): a header compiled once, for the HEADERS of drivers of few files. It may depend on no definition
# of theirs.
function(hs_add_headers name header)
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/${name}.c "typedef int Nothing;\n")
  add_library(${name} OBJECT ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
  hs_set_kernel_options(${name})
  target_precompile_headers(${name} PRIVATE ${header})
endfunction()

# hs_add_driver(NAME [EXPORTS] [PCH header | HEADERS target] [IMPORTS driver...] SOURCES file... [MASM file...])
# PCH: a header that all sources include, compiled once; most of the time goes into the kernel's headers.
function(hs_add_driver name)
  cmake_parse_arguments(ARG "EXPORTS" "PCH;HEADERS" "IMPORTS;SOURCES;MASM" ${ARGN})

  set(objects)
  foreach(source IN LISTS ARG_MASM)
    get_filename_component(stem ${source} NAME_WE)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${name}_${stem}.obj")
    set(definitions "$<TARGET_PROPERTY:${name},COMPILE_DEFINITIONS>")
    add_custom_command(OUTPUT ${object}
      COMMAND ${HS_MASM} -m64 --filetype=obj -DHS_LLVM_ML "$<$<BOOL:${definitions}>:-D$<JOIN:${definitions},;-D>>"
        -I${CMAKE_SOURCE_DIR}/include /Fo ${object} ${CMAKE_CURRENT_SOURCE_DIR}/${source}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source} ${CMAKE_SOURCE_DIR}/include/hotswap_endpoint_table.inc
      COMMAND_EXPAND_LISTS VERBATIM)
    set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    list(APPEND objects ${object})
  endforeach()

  add_executable(${name} ${ARG_SOURCES} ${objects})
  set_target_properties(${name} PROPERTIES SUFFIX .sys ENABLE_EXPORTS "${ARG_EXPORTS}")
  hs_set_kernel_options(${name})
  target_link_options(${name} PRIVATE ${HS_KERNEL_LINK_OPTIONS} "-Wl,--pdb=${CMAKE_CURRENT_BINARY_DIR}/${name}.pdb")
  target_link_libraries(${name} PRIVATE ${ARG_IMPORTS} ntoskrnl hal)
  if(ARG_PCH)
    target_precompile_headers(${name} PRIVATE ${ARG_PCH})
  elseif(ARG_HEADERS)
    target_precompile_headers(${name} REUSE_FROM ${ARG_HEADERS})
  endif()
endfunction()

# As a library, because CMake appends an image version of its own to the options. Its VERSION property would also make
# the .sys a symbolic link.
function(hs_set_image_version name version)
  target_link_libraries(${name} PRIVATE -Wl,-Xlink=-version:${version}.0)
endfunction()
