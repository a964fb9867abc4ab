#pragma once
// The version of demix, which stands here alone: CMakeLists.txt reads it, checkpoints record it.

#define DEMIX_VERSION_MAJOR 0
#define DEMIX_VERSION_MINOR 1
#define DEMIX_VERSION_PATCH 0

#define DEMIX_VERSION_TEXT_(major, minor, patch) #major "." #minor "." #patch
#define DEMIX_VERSION_TEXT(major, minor, patch) DEMIX_VERSION_TEXT_(major, minor, patch)
/// "0.1.0".
#define DEMIX_VERSION DEMIX_VERSION_TEXT(DEMIX_VERSION_MAJOR, DEMIX_VERSION_MINOR, DEMIX_VERSION_PATCH)
