/*
 * The device and its link. Administrators and SYSTEM only: IoCreateDeviceSecure where there is one (wdmsec.lib in the WDK
 * build, an ntoskrnl export on Wine), else an ordinary device whose security is set before the link is made.
 */
#include "common.h"

#if defined(HS_HAVE_WDMSEC)
#include <wdmsec.h>
#endif

#define DEVICE_SDDL L"D:P(A;;GA;;;SY)(A;;GA;;;BA)"

static PDEVICE_OBJECT DeviceObject;
static UNICODE_STRING DeviceLink;

static const GUID DeviceClass = HS_DEVICE_CLASS;

static NTSTATUS DeviceComplete(PIRP Irp, NTSTATUS Status)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

_Dispatch_type_(IRP_MJ_CREATE) _Dispatch_type_(IRP_MJ_CLOSE) static NTSTATUS NTAPI DeviceCreateClose(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return DeviceComplete(Irp, STATUS_SUCCESS);
}

/* The last handle of a file goes: whatever it still has queued goes with it. */
_Dispatch_type_(IRP_MJ_CLEANUP) static NTSTATUS NTAPI DeviceCleanup(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    DispatchCancelFile(IoGetCurrentIrpStackLocation(Irp)->FileObject);
    return DeviceComplete(Irp, STATUS_SUCCESS);
}

#if defined(HS_HAVE_WDMSEC)

static NTSTATUS DeviceCreateSecure(PDRIVER_OBJECT DriverObject, PUNICODE_STRING Name)
{
    UNICODE_STRING sddl;

    RtlInitUnicodeString(&sddl, DEVICE_SDDL);
    return IoCreateDeviceSecure(DriverObject, 0, Name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &sddl, &DeviceClass,
                                &DeviceObject);
}

#else

typedef NTSTATUS(NTAPI *IO_CREATE_DEVICE_SECURE)(PDRIVER_OBJECT, ULONG, PUNICODE_STRING, DEVICE_TYPE, ULONG, BOOLEAN, PUNICODE_STRING,
                                                 const GUID *, PDEVICE_OBJECT *);

/* Absent from the mingw-w64 headers. */
NTSYSAPI NTSTATUS NTAPI ZwSetSecurityObject(HANDLE Handle, SECURITY_INFORMATION SecurityInformation, PSECURITY_DESCRIPTOR SecurityDescriptor);
NTSYSAPI NTSTATUS NTAPI RtlCreateAcl(PACL Acl, ULONG AclLength, ULONG AclRevision);
NTSYSAPI NTSTATUS NTAPI RtlAddAccessAllowedAce(PACL Acl, ULONG AceRevision, ACCESS_MASK AccessMask, PSID Sid);

typedef struct _DEVICE_SID { /* SID with up to two sub-authorities */
    UCHAR Revision;
    UCHAR SubAuthorityCount;
    UCHAR Authority[6];
    ULONG SubAuthority[2];
} DEVICE_SID;

static NTSTATUS DeviceRestrict(PDEVICE_OBJECT Device)
{
    static const DEVICE_SID system = { 1, 1, { 0, 0, 0, 0, 0, 5 }, { 18 } };             /* S-1-5-18 */
    static const DEVICE_SID administrators = { 1, 2, { 0, 0, 0, 0, 0, 5 }, { 32, 544 } }; /* S-1-5-32-544 */
    DECLSPEC_ALIGN(8) UCHAR aclBuffer[128];
    PACL acl = (PACL)aclBuffer;
    DECLSPEC_ALIGN(8) UCHAR descriptor[64]; /* SECURITY_DESCRIPTOR, 40 bytes, opaque in these headers */
    HANDLE handle;
    NTSTATUS status;

    status = ObOpenObjectByPointer(Device, OBJ_KERNEL_HANDLE, NULL, WRITE_DAC, NULL, KernelMode, &handle);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = RtlCreateAcl(acl, sizeof(aclBuffer), ACL_REVISION);
    if (NT_SUCCESS(status)) {
        status = RtlAddAccessAllowedAce(acl, ACL_REVISION, FILE_ALL_ACCESS, (PSID)(ULONG_PTR)&system);
    }
    if (NT_SUCCESS(status)) {
        status = RtlAddAccessAllowedAce(acl, ACL_REVISION, FILE_ALL_ACCESS, (PSID)(ULONG_PTR)&administrators);
    }
    if (NT_SUCCESS(status)) {
        status = RtlCreateSecurityDescriptor((PSECURITY_DESCRIPTOR)descriptor, SECURITY_DESCRIPTOR_REVISION);
    }
    if (NT_SUCCESS(status)) {
        status = RtlSetDaclSecurityDescriptor((PSECURITY_DESCRIPTOR)descriptor, TRUE, acl, FALSE);
    }
    if (NT_SUCCESS(status)) {
        status = ZwSetSecurityObject(handle, DACL_SECURITY_INFORMATION, (PSECURITY_DESCRIPTOR)descriptor);
    }
    ZwClose(handle);
    return status;
}

static NTSTATUS DeviceCreateSecure(PDRIVER_OBJECT DriverObject, PUNICODE_STRING Name)
{
    IO_CREATE_DEVICE_SECURE createSecure;
    UNICODE_STRING text;
    NTSTATUS status;

    RtlInitUnicodeString(&text, L"IoCreateDeviceSecure");
    createSecure = (IO_CREATE_DEVICE_SECURE)(ULONG_PTR)MmGetSystemRoutineAddress(&text);
    if (createSecure != NULL) {
        RtlInitUnicodeString(&text, DEVICE_SDDL);
        return createSecure(DriverObject, 0, Name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &text, &DeviceClass, &DeviceObject);
    }
    status = IoCreateDevice(DriverObject, 0, Name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &DeviceObject);
    if (NT_SUCCESS(status)) {
        status = DeviceRestrict(DeviceObject);
        if (!NT_SUCCESS(status)) { /* an open device is worse than none */
            IoDeleteDevice(DeviceObject);
        }
    }
    return status;
}

#endif

_Use_decl_annotations_ NTSTATUS DeviceDriverEntry(PDRIVER_OBJECT DriverObject)
{
    UNICODE_STRING name;
    NTSTATUS status;

    RtlInitUnicodeString(&name, HS_DEVICE_NAME);
    RtlInitUnicodeString(&DeviceLink, HS_DEVICE_LINK);
    status = DeviceCreateSecure(DriverObject, &name);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    DriverObject->MajorFunction[IRP_MJ_CREATE] = DeviceCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = DeviceCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = DeviceCleanup;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DispatchDeviceControl;
    status = IoCreateSymbolicLink(&DeviceLink, &name);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(DeviceObject);
        return status;
    }
    DeviceObject->Flags |= DO_BUFFERED_IO;
    DeviceObject->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID DeviceUnload(BOOLEAN KeepLink)
{
    if (!KeepLink) {
        IoDeleteSymbolicLink(&DeviceLink);
    }
    IoDeleteDevice(DeviceObject);
}
