/* Files of the guest. Shared for reading, writing and deletion, since others may be using them. */
#include "operations.h"
#include "sha256.h"

#define FILE_SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* Where a file grows until it is committed: "<path>.<transfer>.part". NULL when there is no memory. */
static PWSTR FilePartName(REQUEST *Request, PCWSTR Path, UINT64 Transfer)
{
    int Length = lstrlenW(Path);
    PWSTR Name = ArenaAllocate(&Request->Arena, ((SIZE_T)Length + 24) * sizeof(WCHAR));
    if (Name != NULL) {
        PWSTR At = Name + Length;
        memcpy(Name, Path, (SIZE_T)Length * sizeof(WCHAR));
        *At++ = L'.';
        for (int Shift = 60; Shift >= 0; Shift -= 4) {
            *At++ = L"0123456789abcdef"[(Transfer >> Shift) & 15];
        }
        memcpy(At, L".part", 6 * sizeof(WCHAR));
    }
    return Name;
}

/* Make the folders above a file. What cannot be made shows when the file is created. */
static void FileMakeFolders(PWSTR Path)
{
    for (PWSTR At = Path; *At != 0; At++) {
        if ((*At == L'\\' || *At == L'/') && At != Path) {
            WCHAR Separator = *At;
            *At = 0;
            CreateDirectoryW(Path, NULL);
            *At = Separator;
        }
    }
}

static BOOL FileSeek(HANDLE File, UINT64 Offset)
{
    LARGE_INTEGER Position = {.QuadPart = (LONGLONG)Offset};
    return SetFilePointerEx(File, Position, NULL, FILE_BEGIN);
}

REQUEST_RESULT FileWrite(REQUEST *Request)
{
    UINT32 Size;
    DWORD Written = 0;
    PCWSTR Path = ReadText(&Request->In);
    UINT64 Transfer = ReadU64(&Request->In);
    UINT64 Offset = ReadU64(&Request->In);
    const UINT8 *Data = ReadBytes(&Request->In, &Size);
    PWSTR Part;
    HANDLE File;
    REQUEST_RESULT Result = RequestDone;
    OPERATION_ARGUMENTS_READ(Request);
    Part = FilePartName(Request, Path, Transfer);
    if (Part == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    if (Offset == 0) {
        FileMakeFolders(Part);
    }
    File = CreateFileW(Part, GENERIC_WRITE, FILE_SHARE_ALL, NULL, Offset == 0 ? CREATE_ALWAYS : OPEN_EXISTING,
                       FILE_ATTRIBUTE_NORMAL, NULL);
    if (File == INVALID_HANDLE_VALUE) {
        return RequestFail(Request, "CreateFileW", GetLastError());
    }
    if (!FileSeek(File, Offset)) {
        Result = RequestFail(Request, "SetFilePointerEx", GetLastError());
    } else if (Size != 0 && !WriteFile(File, Data, Size, &Written, NULL)) {
        Result = RequestFail(Request, "WriteFile", GetLastError());
    } else if (Written != Size) {
        Result = RequestFail(Request, "WriteFile", ERROR_DISK_FULL);
    }
    CloseHandle(File);
    WriteU64(&Request->Out, Offset + Written);
    return Result;
}

REQUEST_RESULT FileCopy(REQUEST *Request)
{
    PCWSTR Source = ReadText(&Request->In);
    PCWSTR Path = ReadText(&Request->In);
    UINT64 Transfer = ReadU64(&Request->In);
    PWSTR Part;
    OPERATION_ARGUMENTS_READ(Request);
    Part = FilePartName(Request, Path, Transfer);
    if (Part == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    FileMakeFolders(Part);
    if (!CopyFileW(Source, Part, FALSE)) {
        return RequestFail(Request, "CopyFileW", GetLastError());
    }
    /* What lies on a disc is read-only, and its copy need not be. */
    if (!SetFileAttributesW(Part, FILE_ATTRIBUTE_NORMAL)) {
        return RequestFail(Request, "SetFileAttributesW", GetLastError());
    }
    return RequestDone;
}

/* Hash up to Limit bytes from the start. FALSE with GetLastError when it cannot be read. */
static BOOL FileHashHandle(REQUEST *Request, HANDLE File, UINT64 Limit, UINT64 *Hashed, UINT8 *Digest)
{
    const DWORD Chunk = 256 * 1024;
    UINT8 *Buffer = ArenaAllocate(&Request->Arena, Chunk);
    SHA256 Hash;
    Sha256Start(&Hash);
    *Hashed = 0;
    if (Buffer == NULL) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return FALSE;
    }
    while (*Hashed < Limit) {
        DWORD Read = 0;
        DWORD Want = Limit - *Hashed < Chunk ? (DWORD)(Limit - *Hashed) : Chunk;
        if (!ReadFile(File, Buffer, Want, &Read, NULL)) {
            return FALSE;
        }
        if (Read == 0) {
            break;
        }
        Sha256Add(&Hash, Buffer, Read);
        *Hashed += Read;
    }
    Sha256Finish(&Hash, Digest);
    return TRUE;
}

REQUEST_RESULT FileCommit(REQUEST *Request)
{
    UINT32 DigestSize;
    UINT8 Digest[SHA256_SIZE];
    UINT64 Hashed;
    PCWSTR Path = ReadText(&Request->In);
    UINT64 Transfer = ReadU64(&Request->In);
    UINT64 Size = ReadU64(&Request->In);
    const UINT8 *Expected = ReadBytes(&Request->In, &DigestSize);
    PWSTR Part;
    HANDLE File;
    REQUEST_RESULT Result = RequestDone;
    OPERATION_ARGUMENTS_READ(Request);
    if (DigestSize != SHA256_SIZE) {
        return RequestFailProtocol(Request, HsAgentProtocolMalformed, "a SHA-256 has 32 bytes");
    }
    Part = FilePartName(Request, Path, Transfer);
    if (Part == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    File = CreateFileW(Part, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_ALL, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL,
                       NULL);
    if (File == INVALID_HANDLE_VALUE) {
        return RequestFail(Request, "CreateFileW", GetLastError());
    }
    if (!FileHashHandle(Request, File, ~0ull, &Hashed, Digest)) {
        Result = RequestFail(Request, "ReadFile", GetLastError());
    } else if (Hashed != Size || memcmp(Digest, Expected, SHA256_SIZE) != 0) {
        Result = RequestFailDetail(Request, "SHA-256", ERROR_CRC, "what arrived is not what was sent");
    } else if (!FlushFileBuffers(File)) {
        Result = RequestFail(Request, "FlushFileBuffers", GetLastError());
    }
    CloseHandle(File);
    if (Result == RequestDone && !MoveFileExW(Part, Path, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) {
        Result = RequestFail(Request, "MoveFileExW", GetLastError());
    }
    if (Result != RequestDone) {
        DeleteFileW(Part);
    }
    return Result;
}

REQUEST_RESULT FileDiscard(REQUEST *Request)
{
    PCWSTR Path = ReadText(&Request->In);
    UINT64 Transfer = ReadU64(&Request->In);
    PWSTR Part;
    OPERATION_ARGUMENTS_READ(Request);
    Part = FilePartName(Request, Path, Transfer);
    if (Part == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    return DeleteFileW(Part) ? RequestDone : RequestFail(Request, "DeleteFileW", GetLastError());
}

static HANDLE FileOpenForReading(PCWSTR Path)
{
    return CreateFileW(Path, GENERIC_READ, FILE_SHARE_ALL, NULL, OPEN_EXISTING, FILE_FLAG_SEQUENTIAL_SCAN, NULL);
}

REQUEST_RESULT FileRead(REQUEST *Request)
{
    PCWSTR Path = ReadText(&Request->In);
    UINT64 Offset = ReadU64(&Request->In);
    UINT32 Limit = ReadU32(&Request->In);
    LARGE_INTEGER Size;
    UINT64 Left;
    UINT32 Want;
    UINT32 SizeAt;
    UINT8 *Room;
    DWORD Read = 0;
    HANDLE File;
    REQUEST_RESULT Result = RequestDone;
    OPERATION_ARGUMENTS_READ(Request);
    File = FileOpenForReading(Path);
    if (File == INVALID_HANDLE_VALUE) {
        return RequestFail(Request, "CreateFileW", GetLastError());
    }
    if (!GetFileSizeEx(File, &Size)) {
        Result = RequestFail(Request, "GetFileSizeEx", GetLastError());
    } else if (!FileSeek(File, Offset)) {
        Result = RequestFail(Request, "SetFilePointerEx", GetLastError());
    } else {
        Left = Offset < (UINT64)Size.QuadPart ? (UINT64)Size.QuadPart - Offset : 0;
        Want = Left < Limit ? (UINT32)Left : Limit;
        WriteU64(&Request->Out, (UINT64)Size.QuadPart);
        SizeAt = Request->Out.Used;
        WriteU32(&Request->Out, 0);
        Room = WriteRoom(&Request->Out, Want);
        if (Room != NULL && Want != 0 && !ReadFile(File, Room, Want, &Read, NULL)) {
            Result = RequestFail(Request, "ReadFile", GetLastError());
        }
        if (Room != NULL) {
            Request->Out.Used -= Want - Read;
            WritePatchU32(&Request->Out, SizeAt, Read);
        }
    }
    CloseHandle(File);
    return Result;
}

REQUEST_RESULT FileHash(REQUEST *Request)
{
    PCWSTR Path = ReadText(&Request->In);
    UINT64 Limit = ReadU64(&Request->In);
    UINT8 Digest[SHA256_SIZE];
    UINT64 Hashed;
    HANDLE File;
    REQUEST_RESULT Result = RequestDone;
    OPERATION_ARGUMENTS_READ(Request);
    File = FileOpenForReading(Path);
    if (File == INVALID_HANDLE_VALUE) {
        return RequestFail(Request, "CreateFileW", GetLastError());
    }
    if (FileHashHandle(Request, File, Limit, &Hashed, Digest)) {
        WriteU64(&Request->Out, Hashed);
        WriteBytes(&Request->Out, Digest, sizeof(Digest));
    } else {
        Result = RequestFail(Request, "ReadFile", GetLastError());
    }
    CloseHandle(File);
    return Result;
}

REQUEST_RESULT FileStat(REQUEST *Request)
{
    PCWSTR Path = ReadText(&Request->In);
    WIN32_FILE_ATTRIBUTE_DATA Data;
    OPERATION_ARGUMENTS_READ(Request);
    if (!GetFileAttributesExW(Path, GetFileExInfoStandard, &Data)) {
        return RequestFail(Request, "GetFileAttributesExW", GetLastError());
    }
    WriteU32(&Request->Out, Data.dwFileAttributes);
    WriteU64(&Request->Out, (UINT64)Data.nFileSizeHigh << 32 | Data.nFileSizeLow);
    WriteU64(&Request->Out, (UINT64)Data.ftLastWriteTime.dwHighDateTime << 32 | Data.ftLastWriteTime.dwLowDateTime);
    return RequestDone;
}

REQUEST_RESULT FileRemove(REQUEST *Request)
{
    PCWSTR Path = ReadText(&Request->In);
    DWORD Attributes;
    OPERATION_ARGUMENTS_READ(Request);
    Attributes = GetFileAttributesW(Path);
    if (Attributes == INVALID_FILE_ATTRIBUTES) {
        return RequestFail(Request, "GetFileAttributesW", GetLastError());
    }
    if ((Attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) {
        return RemoveDirectoryW(Path) ? RequestDone : RequestFail(Request, "RemoveDirectoryW", GetLastError());
    }
    return DeleteFileW(Path) ? RequestDone : RequestFail(Request, "DeleteFileW", GetLastError());
}
