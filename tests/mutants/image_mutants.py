"""Deliberate defects of V2, endpoints that the image lists, each with the check that must turn red by it."""

from __future__ import annotations

from forge import Mutant

_FILE = "proxy/image_endpoints.c"

IMAGE_MUTANTS = (
    Mutant(
        "v2-signature-not-compared",
        "S8",
        "an endpoint that is called in another way replaces one",
        _FILE,
        "if (!DpSameSignature(&Old->Endpoints[i], &New->Endpoints[j])) {",
        "if (FALSE) {",
        "S8-not-the-same-changed",
        "the swap to conformance_v2_changed",
    ),
    Mutant(
        "v2-endpoints-by-place",
        "S7",
        "endpoints are matched by their place in the table, not by their name",
        _FILE,
        "New->Wrappers[j] = Old->Wrappers[i];",
        "New->Wrappers[i] = Old->Wrappers[i];",
        "S7-other-order",
        "wrappers, by name",
    ),
    Mutant(
        "v2-stack-bytes-not-passed",
        "R33",
        "a wrapper does not pass the arguments on the stack that the table tells",
        _FILE,
        "parameters, endpoint->StackBytes);",
        "parameters, 0);",
        "R33-image-arguments",
        "the sum of",
    ),
    Mutant(
        "v2-swapped-in-not-noted",
        "S9",
        "after a swap the extension still has the old image's endpoints",
        _FILE,
        "        if (swap->InForce) {",
        "        if (FALSE) {",
        "S9-added",
        "the swap to the image without it",
    ),
    Mutant(
        "v2-wrappers-kept-when-refused",
        "R2",
        "an extension that is refused keeps the wrappers that were made for it",
        _FILE,
        "set != NULL && i < set->Count && set->Wrappers[i] != NULL; i++",
        "set != NULL && i < 0; i++",
        "R2-image-second-extension",
        "RESOURCE_IN_USE",
    ),
    Mutant(
        "v2-list-leaks",
        "S7",
        "the list of the image that was swapped out is not freed",
        _FILE,
        "    DpSwapEnd(swap);\n    DpFree(set);",
        "    DpSwapEnd(swap);",
        "S7-to-and-fro",
        "held after all swaps",
    ),
    Mutant(
        "v2-wrappers-not-published",
        "R5",
        "right after the creation no endpoint is found",
        "proxy/extension.c",
        "    DpImageEndpointsPublish(extension);",
        "",
        "R5-wrappers-from-the-start",
        "looking up",
    ),
    Mutant(
        "v2-ids-found",
        "S2",
        "the place in the table is taken for an id",
        "proxy/lookup.c",
        "DriverProxyExtension == NULL || DriverProxyExtension->Endpoints != NULL",
        "DriverProxyExtension == NULL",
        "S2-by-id",
        "the wrapper of id 0",
    ),
)
