/*
 * The functions put in place of what an endpoint image imports: each calls the real one and keeps the record. There is a
 * copy for each image, because nothing in a call says where it came from (its return address does not: calls in tail
 * position). Parameters, results and IRQL are those of the function replaced.
 *
 * What is given back is told before the call and what is taken after it: in between the address or handle may be another's.
 */
#include "verifier.h"

#define TAKE(Kind, Key, Bytes) (VOID)VerifierTake(image, VERIFIER_##Kind, (PVOID)(ULONG_PTR)(Key), Bytes)
#define GIVE(Kinds, Key) VerifierGive(image, VERIFIER_##Kinds, (PVOID)(ULONG_PTR)(Key))
#define TAKE_IF(Kind, Key) if (NT_SUCCESS(result)) TAKE(Kind, Key, 0)

/*
 * IMPORT(Slot, Result, Name, Parameters, Arguments, Before, After). Those of type VOID are given a result, which on x64 is a
 * register that nobody reads. Later names of a function that has several never match, and need not.
 */
#define VERIFIER_IMPORTS(IMPORT, Slot) \
    VERIFIER_POOL_IMPORTS(IMPORT, Slot) \
    VERIFIER_THREAD_IMPORTS(IMPORT, Slot) \
    VERIFIER_HANDLE_IMPORTS(IMPORT, Slot) \
    VERIFIER_REFERENCE_IMPORTS(IMPORT, Slot)

#define VERIFIER_POOL_IMPORTS(IMPORT, Slot) \
    IMPORT(Slot, PVOID, ExAllocatePool, (POOL_TYPE Type, SIZE_T Bytes), (Type, Bytes), NOTHING, TAKE(POOL, result, Bytes)) \
    IMPORT(Slot, PVOID, ExAllocatePoolWithTag, (POOL_TYPE Type, SIZE_T Bytes, ULONG Tag), (Type, Bytes, Tag), NOTHING, \
           TAKE(POOL, result, Bytes)) \
    IMPORT(Slot, PVOID, ExAllocatePoolWithQuota, (POOL_TYPE Type, SIZE_T Bytes), (Type, Bytes), NOTHING, TAKE(POOL, result, Bytes)) \
    IMPORT(Slot, PVOID, ExAllocatePoolWithQuotaTag, (POOL_TYPE Type, SIZE_T Bytes, ULONG Tag), (Type, Bytes, Tag), NOTHING, \
           TAKE(POOL, result, Bytes)) \
    IMPORT(Slot, PVOID, ExAllocatePoolWithTagPriority, (POOL_TYPE Type, SIZE_T Bytes, ULONG Tag, EX_POOL_PRIORITY Priority), \
           (Type, Bytes, Tag, Priority), NOTHING, TAKE(POOL, result, Bytes)) \
    IMPORT(Slot, PVOID, ExAllocatePool2, (ULONG64 Flags, SIZE_T Bytes, ULONG Tag), (Flags, Bytes, Tag), NOTHING, \
           TAKE(POOL, result, Bytes)) \
    IMPORT(Slot, PVOID, ExAllocatePool3, (ULONG64 Flags, SIZE_T Bytes, ULONG Tag, PVOID Parameters, ULONG Count), \
           (Flags, Bytes, Tag, Parameters, Count), NOTHING, TAKE(POOL, result, Bytes)) \
    IMPORT(Slot, ULONG_PTR, ExFreePool, (PVOID Block), (Block), GIVE(POOL, Block), NOTHING) \
    IMPORT(Slot, ULONG_PTR, ExFreePoolWithTag, (PVOID Block, ULONG Tag), (Block, Tag), GIVE(POOL, Block), NOTHING) \
    IMPORT(Slot, ULONG_PTR, ExFreePool2, (PVOID Block, ULONG Tag, PVOID Parameters, ULONG Count), (Block, Tag, Parameters, Count), \
           GIVE(POOL, Block), NOTHING)

#define VERIFIER_THREAD_IMPORTS(IMPORT, Slot) \
    IMPORT(Slot, NTSTATUS, PsCreateSystemThread, \
           (PHANDLE Handle, ULONG Access, POBJECT_ATTRIBUTES Attributes, HANDLE Process, PCLIENT_ID ClientId, PKSTART_ROUTINE Routine, \
            PVOID Context), \
           (Handle, Access, Attributes, Process, ClientId, Routine, Context), NOTHING, \
           if (NT_SUCCESS(result)) VerifierTakeThread(image, *Handle)) \
    IMPORT(Slot, NTSTATUS, IoCreateSystemThread, \
           (PVOID IoObject, PHANDLE Handle, ULONG Access, POBJECT_ATTRIBUTES Attributes, HANDLE Process, PCLIENT_ID ClientId, \
            PKSTART_ROUTINE Routine, PVOID Context), \
           (IoObject, Handle, Access, Attributes, Process, ClientId, Routine, Context), NOTHING, \
           if (NT_SUCCESS(result)) VerifierTakeThread(image, *Handle))

#define VERIFIER_HANDLE_IMPORTS(IMPORT, Slot) \
    IMPORT(Slot, NTSTATUS, ZwCreateEvent, \
           (PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, EVENT_TYPE Type, BOOLEAN State), \
           (Handle, Access, Attributes, Type, State), NOTHING, TAKE_IF(EVENT, *Handle)) \
    IMPORT(Slot, NTSTATUS, ZwOpenEvent, (PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes), \
           (Handle, Access, Attributes), NOTHING, TAKE_IF(EVENT, *Handle)) \
    IMPORT(Slot, PKEVENT, IoCreateNotificationEvent, (PUNICODE_STRING Name, PHANDLE Handle), (Name, Handle), NOTHING, \
           if (result != NULL) TAKE(EVENT, *Handle, 0)) \
    IMPORT(Slot, PKEVENT, IoCreateSynchronizationEvent, (PUNICODE_STRING Name, PHANDLE Handle), (Name, Handle), NOTHING, \
           if (result != NULL) TAKE(EVENT, *Handle, 0)) \
    IMPORT(Slot, NTSTATUS, ObOpenObjectByPointer, \
           (PVOID Object, ULONG Attributes, PACCESS_STATE State, ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode, PHANDLE Handle), \
           (Object, Attributes, State, Access, Type, Mode, Handle), NOTHING, TAKE_IF(HANDLE, *Handle)) \
    IMPORT(Slot, NTSTATUS, ZwCreateFile, \
           (PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, PIO_STATUS_BLOCK Status, PLARGE_INTEGER Allocation, \
            ULONG FileAttributes, ULONG Share, ULONG Disposition, ULONG Options, PVOID Ea, ULONG EaBytes), \
           (Handle, Access, Attributes, Status, Allocation, FileAttributes, Share, Disposition, Options, Ea, EaBytes), NOTHING, \
           TAKE_IF(HANDLE, *Handle)) \
    IMPORT(Slot, NTSTATUS, ZwOpenFile, \
           (PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, PIO_STATUS_BLOCK Status, ULONG Share, ULONG Options), \
           (Handle, Access, Attributes, Status, Share, Options), NOTHING, TAKE_IF(HANDLE, *Handle)) \
    IMPORT(Slot, NTSTATUS, ZwCreateKey, \
           (PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, ULONG Index, PUNICODE_STRING Class, ULONG Options, \
            PULONG Disposition), \
           (Handle, Access, Attributes, Index, Class, Options, Disposition), NOTHING, TAKE_IF(HANDLE, *Handle)) \
    IMPORT(Slot, NTSTATUS, ZwOpenKey, (PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes), \
           (Handle, Access, Attributes), NOTHING, TAKE_IF(HANDLE, *Handle)) \
    IMPORT(Slot, NTSTATUS, ZwCreateSection, \
           (PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, PLARGE_INTEGER Size, ULONG Protection, ULONG Allocation, \
            HANDLE File), \
           (Handle, Access, Attributes, Size, Protection, Allocation, File), NOTHING, TAKE_IF(HANDLE, *Handle)) \
    IMPORT(Slot, NTSTATUS, ZwOpenSection, (PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes), \
           (Handle, Access, Attributes), NOTHING, TAKE_IF(HANDLE, *Handle)) \
    IMPORT(Slot, NTSTATUS, ZwCreateTimer, (PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, TIMER_TYPE Type), \
           (Handle, Access, Attributes, Type), NOTHING, TAKE_IF(HANDLE, *Handle)) \
    IMPORT(Slot, NTSTATUS, ZwOpenProcess, (PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, PCLIENT_ID ClientId), \
           (Handle, Access, Attributes, ClientId), NOTHING, TAKE_IF(HANDLE, *Handle)) \
    IMPORT(Slot, NTSTATUS, ZwClose, (HANDLE Handle), (Handle), GIVE(HANDLES, Handle), NOTHING) \
    IMPORT(Slot, NTSTATUS, NtClose, (HANDLE Handle), (Handle), GIVE(HANDLES, Handle), NOTHING) \
    IMPORT(Slot, NTSTATUS, ObCloseHandle, (HANDLE Handle, KPROCESSOR_MODE Mode), (Handle, Mode), GIVE(HANDLES, Handle), NOTHING)

#define VERIFIER_REFERENCE_IMPORTS(IMPORT, Slot) \
    IMPORT(Slot, NTSTATUS, ObReferenceObjectByHandle, \
           (HANDLE Handle, ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode, PVOID *Object, POBJECT_HANDLE_INFORMATION Information), \
           (Handle, Access, Type, Mode, Object, Information), NOTHING, TAKE_IF(REFERENCE, *Object)) \
    IMPORT(Slot, NTSTATUS, ObReferenceObjectByHandleWithTag, \
           (HANDLE Handle, ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode, ULONG Tag, PVOID *Object, \
            POBJECT_HANDLE_INFORMATION Information), \
           (Handle, Access, Type, Mode, Tag, Object, Information), NOTHING, TAKE_IF(REFERENCE, *Object)) \
    IMPORT(Slot, NTSTATUS, ObReferenceObjectByPointer, (PVOID Object, ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode), \
           (Object, Access, Type, Mode), NOTHING, TAKE_IF(REFERENCE, Object)) \
    IMPORT(Slot, NTSTATUS, ObReferenceObjectByPointerWithTag, \
           (PVOID Object, ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode, ULONG Tag), (Object, Access, Type, Mode, Tag), \
           NOTHING, TAKE_IF(REFERENCE, Object)) \
    IMPORT(Slot, NTSTATUS, PsLookupThreadByThreadId, (HANDLE Id, PVOID *Object), (Id, Object), NOTHING, TAKE_IF(REFERENCE, *Object)) \
    IMPORT(Slot, NTSTATUS, PsLookupProcessByProcessId, (HANDLE Id, PVOID *Object), (Id, Object), NOTHING, TAKE_IF(REFERENCE, *Object)) \
    IMPORT(Slot, ULONG_PTR, ObfReferenceObject, (PVOID Object), (Object), NOTHING, TAKE(REFERENCE, Object, 0)) \
    IMPORT(Slot, ULONG_PTR, ObfReferenceObjectWithTag, (PVOID Object, ULONG Tag), (Object, Tag), NOTHING, TAKE(REFERENCE, Object, 0)) \
    IMPORT(Slot, ULONG_PTR, ObfDereferenceObject, (PVOID Object), (Object), GIVE(REFERENCE, Object), NOTHING) \
    IMPORT(Slot, ULONG_PTR, ObfDereferenceObjectWithTag, (PVOID Object, ULONG Tag), (Object, Tag), GIVE(REFERENCE, Object), NOTHING) \
    IMPORT(Slot, ULONG_PTR, ObDereferenceObject, (PVOID Object), (Object), GIVE(REFERENCE, Object), NOTHING) \
    IMPORT(Slot, ULONG_PTR, ObDereferenceObjectDeferDelete, (PVOID Object), (Object), GIVE(REFERENCE, Object), NOTHING)

#undef ObDereferenceObject /* two exports; the headers make one of them */

#define IMPORT_INDEX(Slot, Result, Name, Parameters, Arguments, Before, After) Import##Name,
#define IMPORT_WIDE(Text) L##Text /* MSVC: C2308 for L"" #Name */
#define IMPORT_NAME(Slot, Result, Name, Parameters, Arguments, Before, After) IMPORT_WIDE(#Name),
#define IMPORT_POINTER(Slot, Result, Name, Parameters, Arguments, Before, After) (PVOID)(ULONG_PTR)Name##For##Slot,
#define IMPORT_FUNCTION(Slot, Result, Name, Parameters, Arguments, Before, After) \
    static Result NTAPI Name##For##Slot Parameters \
    { \
        VERIFIER_IMAGE *image = &VerifierImages[Slot]; \
        Result result; \
\
        InterlockedIncrement(&image->Calls); \
        Before; \
        result = ((Result(NTAPI *) Parameters)ImportReal[Import##Name])Arguments; \
        After; \
        return result; \
    }

enum { VERIFIER_IMPORTS(IMPORT_INDEX, 0) ImportCount };

static const PCWSTR ImportNames[ImportCount] = { VERIFIER_IMPORTS(IMPORT_NAME, 0) };
static ULONG_PTR ImportReal[ImportCount];

VERIFIER_IMPORTS(IMPORT_FUNCTION, 0)
VERIFIER_IMPORTS(IMPORT_FUNCTION, 1)
VERIFIER_IMPORTS(IMPORT_FUNCTION, 2)
VERIFIER_IMPORTS(IMPORT_FUNCTION, 3)
VERIFIER_IMPORTS(IMPORT_FUNCTION, 4)
VERIFIER_IMPORTS(IMPORT_FUNCTION, 5)
VERIFIER_IMPORTS(IMPORT_FUNCTION, 6)
VERIFIER_IMPORTS(IMPORT_FUNCTION, 7)

static const PVOID ImportReplacements[VERIFIER_IMAGES][ImportCount] = {
    { VERIFIER_IMPORTS(IMPORT_POINTER, 0) }, { VERIFIER_IMPORTS(IMPORT_POINTER, 1) }, { VERIFIER_IMPORTS(IMPORT_POINTER, 2) },
    { VERIFIER_IMPORTS(IMPORT_POINTER, 3) }, { VERIFIER_IMPORTS(IMPORT_POINTER, 4) }, { VERIFIER_IMPORTS(IMPORT_POINTER, 5) },
    { VERIFIER_IMPORTS(IMPORT_POINTER, 6) }, { VERIFIER_IMPORTS(IMPORT_POINTER, 7) },
};
C_ASSERT(VERIFIER_IMAGES == 8);

VOID VerifierResolve(void)
{
    UNICODE_STRING name;
    ULONG i;

    for (i = 0; i < ImportCount; i++) {
        RtlInitUnicodeString(&name, ImportNames[i]);
        ImportReal[i] = (ULONG_PTR)MmGetSystemRoutineAddress(&name);
    }
}

_Use_decl_annotations_ BOOLEAN VerifierReplaces(PCSTR Name, ULONG Bytes)
{
    ULONG i;
    ULONG j;

    for (i = 0; i < ImportCount; i++) {
        for (j = 0; j < Bytes && Name[j] == (CHAR)ImportNames[i][j]; j++) {
            if (Name[j] == 0) {
                return TRUE;
            }
        }
    }
    return FALSE;
}

_Use_decl_annotations_ PVOID VerifierReplacement(const VERIFIER_IMAGE *Image, PVOID Function)
{
    ULONG i;

    for (i = 0; i < ImportCount; i++) {
        if (Function != NULL && ImportReal[i] == (ULONG_PTR)Function) {
            return ImportReplacements[Image - VerifierImages][i];
        }
    }
    return NULL;
}

_Use_decl_annotations_ PVOID VerifierOriginal(const VERIFIER_IMAGE *Image, PVOID Function)
{
    ULONG i;

    for (i = 0; i < ImportCount; i++) {
        if (ImportReplacements[Image - VerifierImages][i] == Function) {
            return (PVOID)ImportReal[i];
        }
    }
    return NULL;
}
