/* Wrappers of the endpoints that an image lists (V2). */
#pragma once

#include "proxy.h"

/*
 * For an extension that nobody knows yet: the endpoints of its owner's image, with wrappers that no lookup finds. Success
 * without any: V1. STATUS_INVALID_IMAGE_FORMAT, STATUS_INSUFFICIENT_RESOURCES: nothing is left.
 */
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS DpImageEndpointsPrepare(_Inout_ PDRIVER_PROXY_EXTENSION Extension);
/* Once the extension has its rundown, lookups may find them. */
_IRQL_requires_(PASSIVE_LEVEL) VOID DpImageEndpointsPublish(_Inout_ PDRIVER_PROXY_EXTENSION Extension);
/* After Prepare, instead of Publish. */
_IRQL_requires_(PASSIVE_LEVEL) VOID DpImageEndpointsAbandon(_Inout_ PDRIVER_PROXY_EXTENSION Extension);
/* The list; the wrappers go as all of an extension's do. */
_IRQL_requires_(PASSIVE_LEVEL) VOID DpImageEndpointsFree(_Inout_ PDRIVER_PROXY_EXTENSION Extension);
