#include "etl_writer.h"

/* Offsets in WMI_BUFFER_HEADER: reference "etl", 2.1. */
#define BUFFER_HEADER_SIZE 72
#define BUFFER_SIZE 0x00
#define BUFFER_SAVED_OFFSET 0x04
#define BUFFER_CURRENT_OFFSET 0x08
#define BUFFER_TIME 0x10
#define BUFFER_SEQUENCE 0x18
#define BUFFER_PROCESSOR 0x28
#define BUFFER_STATE 0x2C
#define BUFFER_OFFSET 0x30
#define BUFFER_FLAG 0x34
#define BUFFER_TYPE 0x36

#define BUFFER_STATE_FLUSH 3
#define BUFFER_FLAG_FLUSH_MARKER 0x01
#define BUFFER_FLAG_PROCESSOR_INDEX 0x20
#define BUFFER_TYPE_GENERIC 0
#define BUFFER_TYPE_HEADER 4

/* Event headers: 2.2 and 2.3. */
#define EVENT_TYPE_SYSTEM64 0x02
#define EVENT_TYPE_EVENT32 0x12
#define EVENT_TYPE_EVENT64 0x13
#define EVENT_MARKER 0xC0
#define EVENT_HEADER_BYTES 80
#define EVENT_TIME 0x10

/* The log-file header event: 2.5. */
#define LOG_EVENT_HEADER_BYTES 32
#define LOG_BYTES 0x118
#define LOG_AT (BUFFER_HEADER_SIZE + LOG_EVENT_HEADER_BYTES)
#define LOG_BUFFER_SIZE (LOG_AT + 0x00)
#define LOG_VERSION (LOG_AT + 0x04)
#define LOG_PROVIDER_VERSION (LOG_AT + 0x08)
#define LOG_PROCESSORS (LOG_AT + 0x0C)
#define LOG_END_TIME (LOG_AT + 0x10)
#define LOG_TIMER_RESOLUTION (LOG_AT + 0x18)
#define LOG_FILE_MODE (LOG_AT + 0x20)
#define LOG_BUFFERS_WRITTEN (LOG_AT + 0x24)
#define LOG_START_BUFFERS (LOG_AT + 0x28)
#define LOG_POINTER_SIZE (LOG_AT + 0x2C)
#define LOG_EVENTS_LOST (LOG_AT + 0x30)
#define LOG_CPU_MHZ (LOG_AT + 0x34)
#define LOG_TIME_ZONE (LOG_AT + 0x48)
#define LOG_BOOT_TIME (LOG_AT + 0xF8)
#define LOG_PERF_FREQ (LOG_AT + 0x100)
#define LOG_START_TIME (LOG_AT + 0x108)
#define LOG_CLOCK_TYPE (LOG_AT + 0x110)

#define LOG_VERSION_WINDOWS_10 0x0501000A
#define LOG_MODE_SEQUENTIAL 0x1
#define LOG_CLOCK_QPC 1
#define LOG_TIMER_RESOLUTION_100NS 156250

#define PAD8(n) (((n) + 7u) & ~7u)

static void Put16(uint8_t *At, uint16_t Value)
{
    memcpy(At, &Value, sizeof(Value));
}

static void Put32(uint8_t *At, uint32_t Value)
{
    memcpy(At, &Value, sizeof(Value));
}

static void Put64(uint8_t *At, uint64_t Value)
{
    memcpy(At, &Value, sizeof(Value));
}

static uint64_t Get64(const uint8_t *At)
{
    uint64_t Value;
    memcpy(&Value, At, sizeof(Value));
    return Value;
}

static uint32_t EtlWriteAt(ETL_WRITER *Writer, uint64_t Offset, const void *Data, uint32_t Size)
{
    if (Writer->Error == ETL_OK) {
        Writer->Error = Writer->Sink.WriteAt(Writer->Sink.Context, Offset, Data, Size);
    }
    return Writer->Error;
}

/* Complete a buffer's header and fill what is free behind its events. */
static void EtlSealBuffer(ETL_WRITER *Writer, uint8_t *Buffer, uint32_t Used, uint32_t Processor, uint64_t Time,
                          uint16_t Type, uint16_t Flag)
{
    memset(Buffer, 0, BUFFER_HEADER_SIZE);
    memset(Buffer + Used, 0xFF, ETL_BUFFER_SIZE - Used);
    Put32(Buffer + BUFFER_SIZE, ETL_BUFFER_SIZE);
    Put32(Buffer + BUFFER_SAVED_OFFSET, Used);
    Put32(Buffer + BUFFER_CURRENT_OFFSET, Used);
    Put64(Buffer + BUFFER_TIME, Time);
    Put64(Buffer + BUFFER_SEQUENCE, Writer->Sequence);
    Put16(Buffer + BUFFER_PROCESSOR, (uint16_t)Processor);
    Put32(Buffer + BUFFER_STATE, BUFFER_STATE_FLUSH);
    Put32(Buffer + BUFFER_OFFSET, Used);
    Put16(Buffer + BUFFER_FLAG, Flag);
    Put16(Buffer + BUFFER_TYPE, Type);
    Writer->Sequence++;
}

static uint32_t EtlAppendBuffer(ETL_WRITER *Writer, const uint8_t *Buffer)
{
    uint32_t Error = EtlWriteAt(Writer, Writer->FileSize, Buffer, ETL_BUFFER_SIZE);
    if (Error == ETL_OK) {
        Writer->FileSize += ETL_BUFFER_SIZE;
        Writer->Statistics.FileBytes = Writer->FileSize;
        Writer->Statistics.Buffers++;
    }
    return Error;
}

/* What the header says of the rest of the file. */
static uint32_t EtlUpdateHeader(ETL_WRITER *Writer)
{
    uint64_t Lost = Writer->Statistics.EventsDropped + Writer->Statistics.Rejected;
    Put32(Writer->Header + LOG_BUFFERS_WRITTEN, (uint32_t)Writer->Statistics.Buffers);
    Put32(Writer->Header + LOG_EVENTS_LOST, Lost > UINT32_MAX ? UINT32_MAX : (uint32_t)Lost);
    return EtlWriteAt(Writer, LOG_AT, Writer->Header + LOG_AT, LOG_BYTES);
}

static uint32_t EtlPutName(uint8_t *At, const uint16_t *Name)
{
    uint32_t Chars = 0;
    while (Name[Chars] != 0 && Chars < ETL_NAME_CHARS) {
        Chars++;
    }
    memcpy(At, Name, Chars * 2);
    Put16(At + Chars * 2, 0);
    return (Chars + 1) * 2;
}

uint32_t EtlOpen(ETL_WRITER *Writer, const ETL_SINK *Sink, const ETL_SESSION *Session)
{
    uint8_t *Event;
    uint32_t Size = LOG_EVENT_HEADER_BYTES + LOG_BYTES;
    Writer->Sink = *Sink;
    Writer->Header = Sink->Allocate(ETL_BUFFER_SIZE);
    if (Writer->Header == NULL) {
        return Writer->Error = ETL_NO_MEMORY;
    }
    Event = Writer->Header + BUFFER_HEADER_SIZE;
    memset(Event, 0, LOG_EVENT_HEADER_BYTES + LOG_BYTES);
    Size += EtlPutName(Event + Size, Session->Name);
    Size += EtlPutName(Event + Size, Session->FileName);
    Put16(Event + 0x00, 2); /* version; the hook id at 6 is 0 */
    Event[2] = EVENT_TYPE_SYSTEM64;
    Event[3] = EVENT_MARKER;
    Put16(Event + 0x04, (uint16_t)Size);
    Put32(Event + 0x08, Session->ThreadId);
    Put32(Event + 0x0C, Session->ProcessId);
    Put64(Event + EVENT_TIME, Session->StartTick);

    Put32(Writer->Header + LOG_BUFFER_SIZE, ETL_BUFFER_SIZE);
    Put32(Writer->Header + LOG_VERSION, LOG_VERSION_WINDOWS_10);
    Put32(Writer->Header + LOG_PROVIDER_VERSION, Session->OsBuild);
    Put32(Writer->Header + LOG_PROCESSORS, Session->Processors);
    Put32(Writer->Header + LOG_TIMER_RESOLUTION, LOG_TIMER_RESOLUTION_100NS);
    Put32(Writer->Header + LOG_FILE_MODE, LOG_MODE_SEQUENTIAL);
    Put32(Writer->Header + LOG_BUFFERS_WRITTEN, 1);
    Put32(Writer->Header + LOG_START_BUFFERS, 1);
    Put32(Writer->Header + LOG_POINTER_SIZE, 8);
    Put32(Writer->Header + LOG_CPU_MHZ, Session->CpuMegahertz);
    memcpy(Writer->Header + LOG_TIME_ZONE, Session->TimeZone, sizeof(Session->TimeZone));
    Put64(Writer->Header + LOG_BOOT_TIME, Session->BootTime);
    Put64(Writer->Header + LOG_PERF_FREQ, Session->TickFrequency);
    Put64(Writer->Header + LOG_START_TIME, Session->StartTime);
    Put32(Writer->Header + LOG_CLOCK_TYPE, LOG_CLOCK_QPC);

    memset(Event + Size, 0, PAD8(Size) - Size);
    EtlSealBuffer(Writer, Writer->Header, BUFFER_HEADER_SIZE + PAD8(Size), 0, 0, BUFFER_TYPE_HEADER,
                  BUFFER_FLAG_FLUSH_MARKER | BUFFER_FLAG_PROCESSOR_INDEX);
    Writer->Statistics.TickFrequency = Session->TickFrequency;
    return EtlAppendBuffer(Writer, Writer->Header);
}

static uint32_t EtlFlushProcessor(ETL_WRITER *Writer, uint32_t Index, uint64_t Now)
{
    ETL_PROCESSOR *Processor = &Writer->Processors[Index];
    if (Processor->Used == 0) {
        return Writer->Error;
    }
    EtlSealBuffer(Writer, Processor->Buffer, Processor->Used, Index, Now, BUFFER_TYPE_GENERIC,
                  BUFFER_FLAG_PROCESSOR_INDEX);
    Processor->Used = 0;
    return EtlAppendBuffer(Writer, Processor->Buffer);
}

static uint32_t EtlAddEvent(ETL_WRITER *Writer, uint32_t Index, const uint8_t *Event, uint32_t Size, uint64_t Now)
{
    ETL_PROCESSOR *Processor = &Writer->Processors[Index];
    uint64_t Tick = Get64(Event + EVENT_TIME);
    if (Processor->Buffer == NULL) {
        Processor->Buffer = Writer->Sink.Allocate(ETL_BUFFER_SIZE);
        if (Processor->Buffer == NULL) {
            return Writer->Error = ETL_NO_MEMORY;
        }
    }
    if (Processor->Used != 0 && Processor->Used + PAD8(Size) > ETL_BUFFER_SIZE &&
        EtlFlushProcessor(Writer, Index, Now) != ETL_OK) {
        return Writer->Error;
    }
    if (Processor->Used == 0) {
        Processor->Used = BUFFER_HEADER_SIZE;
    }
    memcpy(Processor->Buffer + Processor->Used, Event, Size);
    memset(Processor->Buffer + Processor->Used + Size, 0, PAD8(Size) - Size);
    Processor->Used += PAD8(Size);
    if (Tick < Processor->LastTick) {
        Writer->Statistics.OutOfOrder++;
    }
    Processor->LastTick = Tick;
    Writer->Statistics.Events++;
    return ETL_OK;
}

/* An event of the EVENT_HEADER family that fits into its entry and into a buffer. */
static int EtlIsEvent(const uint8_t *Event, uint32_t Room, uint32_t *Size)
{
    uint16_t Bytes;
    if (Room < EVENT_HEADER_BYTES) {
        return 0;
    }
    memcpy(&Bytes, Event, sizeof(Bytes));
    *Size = Bytes;
    return Bytes >= EVENT_HEADER_BYTES && Bytes <= Room && PAD8(Bytes) <= ETL_BUFFER_SIZE - BUFFER_HEADER_SIZE &&
           (Event[2] == EVENT_TYPE_EVENT32 || Event[2] == EVENT_TYPE_EVENT64) && Event[3] == EVENT_MARKER;
}

uint64_t EtlFirstTick(const void *Chunk, uint32_t Size)
{
    const uint32_t At = PAD8(sizeof(TRACE_RING_CHUNK)) + PAD8(sizeof(TRACE_RING_ENTRY));
    TRACE_RING_CHUNK Head;
    uint32_t EventSize;
    if (Size < At + EVENT_HEADER_BYTES) {
        return 0;
    }
    memcpy(&Head, Chunk, sizeof(Head));
    if (Head.Entries == 0 || !EtlIsEvent((const uint8_t *)Chunk + At, Size - At, &EventSize)) {
        return 0;
    }
    return Get64((const uint8_t *)Chunk + At + EVENT_TIME);
}

uint32_t EtlFeed(ETL_WRITER *Writer, const void *Chunk, uint32_t Size, uint64_t Now)
{
    const uint8_t *Data = Chunk;
    TRACE_RING_CHUNK Head;
    uint32_t At = PAD8(sizeof(Head));
    if (Size < sizeof(Head)) {
        return ETL_INVALID_DATA;
    }
    memcpy(&Head, Data, sizeof(Head));
    if (Head.Bytes > Size || Head.Bytes < sizeof(Head)) {
        return ETL_INVALID_DATA;
    }
    Writer->Statistics.EventsDropped = Head.EventsDropped;
    Writer->Statistics.EventsWritten = Head.EventsWritten;
    Writer->Statistics.Remaining = Head.Remaining;
    for (uint32_t i = 0; i < Head.Entries; i++) {
        TRACE_RING_ENTRY Entry;
        const uint32_t Prefix = PAD8(sizeof(Entry));
        uint32_t EventSize;
        if (Head.Bytes - At < sizeof(Entry)) {
            return ETL_INVALID_DATA;
        }
        memcpy(&Entry, Data + At, sizeof(Entry));
        if (Entry.Bytes < Prefix || Entry.Bytes % 8 != 0 || Entry.Bytes > Head.Bytes - At) {
            return ETL_INVALID_DATA;
        }
        if (Entry.Processor < ETL_PROCESSORS && EtlIsEvent(Data + At + Prefix, Entry.Bytes - Prefix, &EventSize)) {
            if (EtlAddEvent(Writer, Entry.Processor, Data + At + Prefix, EventSize, Now) != ETL_OK) {
                return Writer->Error;
            }
        } else {
            Writer->Statistics.Rejected++;
        }
        At += Entry.Bytes;
    }
    return Writer->Error;
}

uint32_t EtlFlush(ETL_WRITER *Writer, uint64_t Now)
{
    for (uint32_t i = 0; i < ETL_PROCESSORS; i++) {
        if (EtlFlushProcessor(Writer, i, Now) != ETL_OK) {
            return Writer->Error;
        }
    }
    return EtlUpdateHeader(Writer);
}

uint32_t EtlClose(ETL_WRITER *Writer, uint64_t Now, uint64_t EndTime)
{
    uint8_t Flag[2];
    uint32_t Error = ETL_OK;
    if (Writer->Header != NULL) {
        Put64(Writer->Header + LOG_END_TIME, EndTime);
        Error = EtlFlush(Writer, Now);
        if (Error == ETL_OK) {
            Put16(Flag, BUFFER_FLAG_FLUSH_MARKER | BUFFER_FLAG_PROCESSOR_INDEX);
            Error = EtlWriteAt(Writer, Writer->FileSize - ETL_BUFFER_SIZE + BUFFER_FLAG, Flag, sizeof(Flag));
        }
        Writer->Sink.Free(Writer->Header);
        Writer->Header = NULL;
    }
    for (uint32_t i = 0; i < ETL_PROCESSORS; i++) {
        if (Writer->Processors[i].Buffer != NULL) {
            Writer->Sink.Free(Writer->Processors[i].Buffer);
            Writer->Processors[i].Buffer = NULL;
        }
    }
    return Error;
}
