/*
 * hotswap_wrong_parameters.sys, to be refused: says that Compute has five parameters, where the version in force has six. The
 * number comes from the build (ENDPOINT_COMPUTE_PARAMETERS), because the endpoint table says the same.
 */
#include "endpoint_ordinary.h"

ENDPOINT_DRIVER(ENDPOINT_VERSION, EndpointWorker, EndpointCompute, NULL);
