/*
 * In the place of driver/proxy/atomics.h: the same accesses, and before each of them a point at which the thread may be
 * preempted or interrupted. Rare orders of events are the rule here.
 */
#pragma once

#include "platform.h"

#define DpRead32(Address) (ModelPoint(), __atomic_load_n(Address, __ATOMIC_ACQUIRE))
#define DpRead64(Address) (ModelPoint(), __atomic_load_n(Address, __ATOMIC_ACQUIRE))
#define DpReadPointer(Address) (ModelPoint(), __atomic_load_n(Address, __ATOMIC_ACQUIRE))
#define DpWrite32(Address, Value) (ModelPoint(), __atomic_store_n(Address, Value, __ATOMIC_RELEASE))
#define DpWrite64(Address, Value) (ModelPoint(), __atomic_store_n(Address, Value, __ATOMIC_RELEASE))
#define DpWritePointer(Address, Value) (ModelPoint(), __atomic_store_n(Address, Value, __ATOMIC_RELEASE))
