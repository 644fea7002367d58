/*
 * The kernel headers as both toolchains give them: the WDK's, and mingw-w64's with clang. What differs between the
 * two stands here and nowhere else.
 */
#pragma once

#if defined(__MINGW32__)
/* intrin.h declares these two extern, then wdm.h defines them static: without new names each object file exports them. */
#include <intrin.h>
#define InterlockedBitTestAndSet HsMingwBitTestAndSet
#define InterlockedBitTestAndReset HsMingwBitTestAndReset
#define _PSGETCURRENTTHREAD_ /* its inline one reads gs:[0x188], which only a kernel has; ntoskrnl exports the function */
#include <ntddk.h>
#undef InterlockedBitTestAndSet
#undef InterlockedBitTestAndReset
#else
#include <ntifs.h>
#endif

#if defined(__MINGW32__)
#include <driverspecs.h>
#include <sal.h>
#ifndef _Must_inspect_result_
#define _Must_inspect_result_ __attribute__((warn_unused_result))
#endif
#ifndef _Use_decl_annotations_
#define _Use_decl_annotations_
#endif
#ifndef _Dispatch_type_
#define _Dispatch_type_(x)
#endif
/* mingw imports object-type variables as data. */
#define HS_THREAD_OBJECT_TYPE ((POBJECT_TYPE)PsThreadType)
#else
#define HS_THREAD_OBJECT_TYPE (*PsThreadType)
#endif

/* In ntifs.h, which mingw-w64 cannot include beside ntddk.h. */
#if defined(__MINGW32__)
NTSYSAPI PETHREAD NTAPI PsGetCurrentThread(VOID); /* not inline: see above */
NTSYSAPI NTSTATUS NTAPI ZwLoadDriver(_In_ PUNICODE_STRING DriverServiceName);
NTSYSAPI NTSTATUS NTAPI ZwCreateEvent(_Out_ PHANDLE EventHandle, _In_ ACCESS_MASK DesiredAccess,
                                      _In_opt_ POBJECT_ATTRIBUTES ObjectAttributes, _In_ EVENT_TYPE EventType, _In_ BOOLEAN InitialState);
NTSYSAPI NTSTATUS NTAPI ZwUnloadDriver(_In_ PUNICODE_STRING DriverServiceName);
NTSYSAPI NTSTATUS NTAPI ZwWaitForSingleObject(_In_ HANDLE Handle, _In_ BOOLEAN Alertable, _In_opt_ PLARGE_INTEGER Timeout);
NTSYSAPI NTSTATUS NTAPI ObOpenObjectByPointer(_In_ PVOID Object, _In_ ULONG HandleAttributes, _In_opt_ PACCESS_STATE PassedAccessState,
                                              _In_ ACCESS_MASK DesiredAccess, _In_opt_ POBJECT_TYPE ObjectType,
                                              _In_ KPROCESSOR_MODE AccessMode, _Out_ PHANDLE Handle);
#endif

#ifndef STATUS_POSSIBLE_DEADLOCK
#define STATUS_POSSIBLE_DEADLOCK ((NTSTATUS)0xC0000194L)
#endif
#ifndef STATUS_DRIVER_BLOCKED
#define STATUS_DRIVER_BLOCKED ((NTSTATUS)0xC000036CL)
#endif
#ifndef STATUS_RESOURCE_IN_USE
#define STATUS_RESOURCE_IN_USE ((NTSTATUS)0xC0000708L)
#endif
#ifndef MdlMappingNoExecute
#define MdlMappingNoExecute 0x40000000
#endif
#ifndef THREAD_WAIT_OBJECTS
#define THREAD_WAIT_OBJECTS 3
#endif
#ifndef MAXIMUM_WAIT_OBJECTS
#define MAXIMUM_WAIT_OBJECTS 64
#endif

/*
 * The one place where time is read. Not inlined: Wine emulates only plain loads from KUSER_SHARED_DATA, and a folded
 * read of it crashes the driver host. `__inline` only keeps compilers from calling a copy that a file does not use dead code.
 */
__declspec(noinline) static __inline LONG64 HsTick(void)
{
    return KeQueryPerformanceCounter(NULL).QuadPart;
}

__declspec(noinline) static __inline LONG64 HsTickFrequency(void)
{
    LARGE_INTEGER frequency;

    KeQueryPerformanceCounter(&frequency);
    return frequency.QuadPart;
}
