/* A service name of user mode as the registry path that ZwLoadDriver takes. */
#include "common.h"

static BOOLEAN ServiceCharacter(WCHAR Character)
{
    return (Character >= L'a' && Character <= L'z') || (Character >= L'A' && Character <= L'Z') ||
           (Character >= L'0' && Character <= L'9') || Character == L'_' || Character == L'-' || Character == L'.';
}

/* One registry key, no path. STATUS_OBJECT_NAME_INVALID otherwise. */
_Use_decl_annotations_ NTSTATUS HsServicePath(PCWSTR ServiceName, HS_SERVICE_PATH *Path)
{
    ULONG prefix = ARRAYSIZE(HS_SERVICES) - 1;
    ULONG i;

    RtlCopyMemory(Path->Buffer, HS_SERVICES, prefix * sizeof(WCHAR));
    for (i = 0; i < HS_SERVICE_NAME_CHARS && ServiceName[i] != 0; i++) {
        if (!ServiceCharacter(ServiceName[i])) {
            return STATUS_OBJECT_NAME_INVALID;
        }
        Path->Buffer[prefix + i] = ServiceName[i];
    }
    if (i == 0 || i == HS_SERVICE_NAME_CHARS) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    Path->Buffer[prefix + i] = 0;
    RtlInitUnicodeString(&Path->String, Path->Buffer);
    return STATUS_SUCCESS;
}
