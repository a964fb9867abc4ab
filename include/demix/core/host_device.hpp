#pragma once
// The one place that knows whether a CUDA compiler reads this source: functions marked DEMIX_HOST_DEVICE
// compile for both devices there, and are plain functions elsewhere.

#if defined(__CUDACC__)
#define DEMIX_HOST_DEVICE __host__ __device__
#else
#define DEMIX_HOST_DEVICE
#endif
