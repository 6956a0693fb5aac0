#pragma once
// SANITIZER_OWNS_HEAP: under the address sanitizer the heap is the sanitizer's own, and replacing half of it by a
// counting operator new would be an error.
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZER_OWNS_HEAP
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZER_OWNS_HEAP
#endif
#endif
