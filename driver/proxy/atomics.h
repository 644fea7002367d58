/*
 * Reads and writes that others make or see at the same time. On x64 both are plain moves; the names say what a reader may
 * rely on. What needs a full fence besides is an interlocked operation.
 */
#pragma once

#include "platform.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define DpRead32(Address) ReadAcquire(Address)
#define DpRead64(Address) ReadAcquire64(Address)
#define DpReadPointer(Address) ReadPointerAcquire((PVOID const volatile *)(Address))
#define DpWrite32(Address, Value) WriteRelease(Address, Value)
#define DpWrite64(Address, Value) WriteRelease64(Address, Value)
#define DpWritePointer(Address, Value) WritePointerRelease((PVOID volatile *)(Address), Value)
#else
#define DpRead32(Address) __atomic_load_n(Address, __ATOMIC_ACQUIRE)
#define DpRead64(Address) __atomic_load_n(Address, __ATOMIC_ACQUIRE)
#define DpReadPointer(Address) __atomic_load_n(Address, __ATOMIC_ACQUIRE)
#define DpWrite32(Address, Value) __atomic_store_n(Address, Value, __ATOMIC_RELEASE)
#define DpWrite64(Address, Value) __atomic_store_n(Address, Value, __ATOMIC_RELEASE)
#define DpWritePointer(Address, Value) __atomic_store_n(Address, Value, __ATOMIC_RELEASE)
#endif
