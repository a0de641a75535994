#pragma once
#include <stddef.h>
#include <stdint.h>

/// libFuzzer as a library (clang's fuzzer runtime): runs `input` over the corpus and its mutations.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*input)(const uint8_t *data, size_t size));
