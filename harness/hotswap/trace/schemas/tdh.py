"""TDH's type numbers and the names that manifests have for them, as our own (tdh.h, winmeta.xml)."""

from __future__ import annotations

from hotswap.trace.schema import InType, MetadataError, OutType

OUT_TYPES = {
    1: OutType.STRING,
    13: OutType.BOOLEAN,
    16: OutType.HEX,
    17: OutType.HEX,
    18: OutType.HEX,
    19: OutType.HEX,
    20: OutType.PID,
    21: OutType.TID,
    22: OutType.PORT,
    23: OutType.IPV4,
    24: OutType.IPV6,
    25: OutType.SOCKADDR,
    27: OutType.ETWTIME,
    28: OutType.XML,
    29: OutType.WIN32ERROR,
    30: OutType.WIN32ERROR,
    31: OutType.NTSTATUS,
    32: OutType.HRESULT,
    34: OutType.JSON,
    35: OutType.UTF8,
    36: OutType.PKCS7,
    37: OutType.CODE_POINTER,
    38: OutType.DATETIME_UTC,
    300: OutType.STRING,
    301: OutType.NOPRINT,
}
"""TDH_OUTTYPE numbers. What is not here is shown as its in-type is."""
IN_TYPE_NAMES = {
    "UnicodeString": InType.UNICODESTRING,
    "AnsiString": InType.ANSISTRING,
    "Int8": InType.INT8,
    "UInt8": InType.UINT8,
    "Int16": InType.INT16,
    "UInt16": InType.UINT16,
    "Int32": InType.INT32,
    "UInt32": InType.UINT32,
    "Int64": InType.INT64,
    "UInt64": InType.UINT64,
    "Float": InType.FLOAT,
    "Double": InType.DOUBLE,
    "Boolean": InType.BOOL32,
    "Binary": InType.BINARY,
    "GUID": InType.GUID,
    "Pointer": InType.POINTER,
    "FILETIME": InType.FILETIME,
    "SYSTEMTIME": InType.SYSTEMTIME,
    "SID": InType.SID,
    "HexInt32": InType.HEXINT32,
    "HexInt64": InType.HEXINT64,
    "CountedUnicodeString": InType.COUNTEDSTRING,
    "CountedAnsiString": InType.COUNTEDANSISTRING,
    "CountedBinary": InType.COUNTEDBINARY,
    "CountedUtf16String": InType.COUNTEDSTRING,
    "CountedMbcsString": InType.COUNTEDANSISTRING,
}
"""As in a manifest's `inType`, without the prefix."""
OUT_TYPE_NAMES = {
    "string": OutType.STRING,
    "boolean": OutType.BOOLEAN,
    "HexInt8": OutType.HEX,
    "HexInt16": OutType.HEX,
    "HexInt32": OutType.HEX,
    "HexInt64": OutType.HEX,
    "PID": OutType.PID,
    "TID": OutType.TID,
    "Port": OutType.PORT,
    "IPv4": OutType.IPV4,
    "IPv6": OutType.IPV6,
    "SocketAddress": OutType.SOCKADDR,
    "ETWTIME": OutType.ETWTIME,
    "Xml": OutType.XML,
    "ErrorCode": OutType.WIN32ERROR,
    "Win32Error": OutType.WIN32ERROR,
    "NTSTATUS": OutType.NTSTATUS,
    "HResult": OutType.HRESULT,
    "Json": OutType.JSON,
    "Utf8": OutType.UTF8,
    "Pkcs7WithTypeInfo": OutType.PKCS7,
    "CodePointer": OutType.CODE_POINTER,
    "DateTimeUtc": OutType.DATETIME_UTC,
    "NoPrint": OutType.NOPRINT,
}
"""As in a manifest's `outType`, without the prefix. What is not here is shown as its in-type is."""


def tdh_in_type(number: int) -> InType:
    """The in-type that TDH has this number for. Raises MetadataError."""
    try:
        kind = InType(number)
    except ValueError:
        kind = InType.STRUCT
    if kind == InType.STRUCT:
        raise MetadataError(f"the unknown in-type {number}")
    return kind


def tdh_out_type(number: int) -> int:
    """The out-type that TDH has this number for."""
    return OUT_TYPES.get(number, OutType.DEFAULT)
