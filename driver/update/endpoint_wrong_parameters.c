/* hotswap_wrong_parameters.sys, to be refused: says that Compute has five parameters, where the version in force has six. */
#include "endpoint_ordinary.h"

ENDPOINT_DRIVER_COUNTED(ENDPOINT_VERSION, EndpointWorker, 2, EndpointCompute, 5, NULL);
