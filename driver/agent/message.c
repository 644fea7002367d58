#include "message.h"

static const UINT8 *ReadRaw(MESSAGE_READER *Reader, UINT32 Size)
{
    const UINT8 *At = Reader->At;
    if (Reader->Failed || (SIZE_T)(Reader->End - At) < Size) {
        Reader->Failed = TRUE;
        return NULL;
    }
    Reader->At += Size;
    return At;
}

UINT32 ReadU32(MESSAGE_READER *Reader)
{
    UINT32 Value = 0;
    const UINT8 *At = ReadRaw(Reader, sizeof(Value));
    if (At != NULL) {
        memcpy(&Value, At, sizeof(Value));
    }
    return Value;
}

UINT64 ReadU64(MESSAGE_READER *Reader)
{
    UINT64 Value = 0;
    const UINT8 *At = ReadRaw(Reader, sizeof(Value));
    if (At != NULL) {
        memcpy(&Value, At, sizeof(Value));
    }
    return Value;
}

const UINT8 *ReadBytes(MESSAGE_READER *Reader, UINT32 *Size)
{
    const UINT8 *At;
    *Size = ReadU32(Reader);
    At = ReadRaw(Reader, *Size);
    if (At == NULL) {
        *Size = 0;
    }
    return At;
}

PCWSTR ReadText(MESSAGE_READER *Reader)
{
    UINT32 Size;
    const UINT8 *At = ReadBytes(Reader, &Size);
    int Length;
    PWSTR Text;
    if (Size == 0) {
        return L"";
    }
    Length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, (const char *)At, (int)Size, NULL, 0);
    Text = Length > 0 && memchr(At, 0, Size) == NULL
               ? ArenaAllocate(Reader->Arena, ((SIZE_T)Length + 1) * sizeof(WCHAR))
               : NULL;
    if (Text == NULL) {
        Reader->Failed = TRUE;
        return L"";
    }
    MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, (const char *)At, (int)Size, Text, Length);
    return Text;
}

BOOL ReadComplete(const MESSAGE_READER *Reader)
{
    return !Reader->Failed && Reader->At == Reader->End;
}

void WriteReset(MESSAGE_WRITER *Writer)
{
    Writer->Used = 0;
    Writer->Failed = FALSE;
    WriteRoom(Writer, HSAGENT_FRAME_HEADER_SIZE);
}

UINT8 *WriteRoom(MESSAGE_WRITER *Writer, UINT32 Size)
{
    UINT8 *Room;
    if (Writer->Failed || Size > HSAGENT_FRAME_LIMIT + HSAGENT_FRAME_HEADER_SIZE - Writer->Used) {
        Writer->Failed = TRUE;
        return NULL;
    }
    if (Writer->Used + Size > Writer->Capacity) {
        UINT32 Capacity = Writer->Capacity != 0 ? Writer->Capacity * 2 : 256;
        UINT8 *Data;
        if (Capacity < Writer->Used + Size) {
            Capacity = Writer->Used + Size;
        }
        Data = MemoryAllocate(Capacity);
        if (Data == NULL) {
            Writer->Failed = TRUE;
            return NULL;
        }
        if (Writer->Data != NULL) {
            memcpy(Data, Writer->Data, Writer->Used);
            MemoryFree(Writer->Data);
        }
        Writer->Data = Data;
        Writer->Capacity = Capacity;
    }
    Room = Writer->Data + Writer->Used;
    Writer->Used += Size;
    return Room;
}

static void WriteRaw(MESSAGE_WRITER *Writer, const void *Data, UINT32 Size)
{
    UINT8 *Room = WriteRoom(Writer, Size);
    if (Room != NULL && Size != 0) {
        memcpy(Room, Data, Size);
    }
}

void WriteU32(MESSAGE_WRITER *Writer, UINT32 Value)
{
    WriteRaw(Writer, &Value, sizeof(Value));
}

void WriteU64(MESSAGE_WRITER *Writer, UINT64 Value)
{
    WriteRaw(Writer, &Value, sizeof(Value));
}

void WriteBytes(MESSAGE_WRITER *Writer, const void *Data, UINT32 Size)
{
    WriteU32(Writer, Size);
    WriteRaw(Writer, Data, Size);
}

void WriteText(MESSAGE_WRITER *Writer, PCWSTR Text)
{
    int Size = WideCharToMultiByte(CP_UTF8, 0, Text, -1, NULL, 0, NULL, NULL);
    UINT8 *Room;
    Size = Size > 0 ? Size - 1 : 0; /* without the NUL */
    WriteU32(Writer, (UINT32)Size);
    Room = WriteRoom(Writer, (UINT32)Size);
    if (Room != NULL && Size != 0) {
        WideCharToMultiByte(CP_UTF8, 0, Text, lstrlenW(Text), (char *)Room, Size, NULL, NULL);
    }
}

void WriteAscii(MESSAGE_WRITER *Writer, const char *Text)
{
    WriteBytes(Writer, Text, (UINT32)lstrlenA(Text));
}

void WritePatchU32(MESSAGE_WRITER *Writer, UINT32 Offset, UINT32 Value)
{
    if (!Writer->Failed) {
        memcpy(Writer->Data + Offset, &Value, sizeof(Value));
    }
}
