/*
 * V2 of the API: endpoints that the image lists in section `.shsept` (hotswap_endpoint_table.h).
 *
 * HsIoCreateDriverProxyExtension makes an extension V2 when the owner's image has that section: its wrappers can be looked up
 * by pointer right afterwards (R5). Then a lookup by ID finds none, and HsIoRegisterDriverProxyEndpoints answers
 * STATUS_NOT_SUPPORTED, as both are "V1 only". STATUS_INVALID_IMAGE_FORMAT: the section breaks the rules; no extension then.
 * An extension without owner, or whose owner has no such section, is V1.
 */
#pragma once

#include "driverproxy.h"

#if defined(HS_BUILDING_DRIVERPROXY)
#define HSPROXY_V2 __declspec(dllexport)
#else
#define HSPROXY_V2 __declspec(dllimport)
#endif

/*
 * The wrappers of a V2 extension lead into another driver's image from now on. OUR READING of a name: the kernel's
 * IoHotSwapDriverProxyEndpoints is undocumented, its arguments are three values of pointer size, and it is never called by us.
 *
 * Endpoints are matched by name. Each one of the extension must be in the new image with the same registers, stack bytes and
 * return register, or the swap is refused before the first phase. Endpoints that only the new image has get wrappers, which
 * can be looked up once the swap has succeeded; from then on they are the extension's, and an image without them is refused,
 * the one before included. Phases, drain, rollback and their statuses are those of HsIoRegisterDriverProxyEndpoints.
 *
 * A lookup by pointer finds the function in force (R16). The extension stays its owner's, and goes with it (R4); it is the
 * caller who keeps both images loaded as long as calls can be in them. NewDriver may be the owner: that swaps back.
 *
 * STATUS_INVALID_PARAMETER_1, _2: NULL. STATUS_NOT_SUPPORTED: the extension is V1. STATUS_NOT_FOUND: the new image has no
 * such section. STATUS_INVALID_IMAGE_FORMAT: it breaks the rules. STATUS_PROCEDURE_NOT_FOUND: an endpoint is missing.
 * STATUS_REVISION_MISMATCH: one is called in another way. STATUS_INSUFFICIENT_RESOURCES: no memory, or no free wrapper.
 */
_IRQL_requires_(PASSIVE_LEVEL) HSPROXY_V2 NTSTATUS NTAPI
HsIoHotSwapDriverProxyEndpoints(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension, _In_ PDRIVER_OBJECT NewDriver,
                                _In_opt_ PDRIVER_PROXY_REGISTER_CALLBACK PhasedCallback, _In_opt_ PVOID Context);
