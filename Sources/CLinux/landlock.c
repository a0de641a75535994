#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Written out, because the kernel headers of older distributions know only the first of these. The numbers are the same on all processors.
enum { landlock_create = 444, landlock_add = 445, landlock_restrict = 446 };
enum { create_version = 1, rule_path_beneath = 1 };

#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_ALL_OF_ABI_1 ((1ULL << 13) - 1)
#define FS_REFER (1ULL << 13)      // ABI 2
#define FS_TRUNCATE (1ULL << 14)   // ABI 3
#define FS_IOCTL_DEV (1ULL << 15)  // ABI 5
#define NET_BIND_TCP (1ULL << 0)   // ABI 4
#define SCOPE_ABSTRACT (1ULL << 0) // ABI 6
#define SCOPE_SIGNAL (1ULL << 1)   // ABI 6

struct rule_set_attributes {
    uint64_t files, network, scope;
};

struct path_attributes {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

// What a rule on something that is not a directory may name.
static const uint64_t file_rights = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV;

static int add_paths(int rule_set, const char *const *paths, uint64_t rights) {
    for (; paths && *paths; paths++) {
        struct stat status;
        struct path_attributes rule = {.allowed = rights, .parent = open(*paths, O_PATH | O_CLOEXEC)};
        // What does not exist need not be allowed.
        if (rule.parent < 0) continue;
        if (fstat(rule.parent, &status) == 0 && !S_ISDIR(status.st_mode)) rule.allowed &= file_rights;
        long result = syscall(landlock_add, rule_set, rule_path_beneath, &rule, 0);
        int error = errno;
        close(rule.parent);
        if (result != 0) return error;
    }
    return 0;
}

int postern_landlock_prepare(const struct postern_landlock *wanted, int *abi) {
    *abi = (int)syscall(landlock_create, NULL, 0, create_version);
    if (*abi < 1) return -1;
    struct rule_set_attributes attributes = {.files = FS_ALL_OF_ABI_1};
    size_t size = sizeof(uint64_t);
    if (*abi >= 2) attributes.files |= FS_REFER;
    if (*abi >= 3) attributes.files |= FS_TRUNCATE;
    if (*abi >= 5) attributes.files |= FS_IOCTL_DEV;
    if (*abi >= 4) {
        size = 2 * sizeof(uint64_t);
        if (wanted->no_ports) attributes.network = NET_BIND_TCP;
    }
    if (*abi >= 6) {
        size = sizeof attributes;
        if (wanted->isolated) attributes.scope = SCOPE_ABSTRACT | SCOPE_SIGNAL;
    }
    int rule_set = (int)syscall(landlock_create, &attributes, size, 0);
    if (rule_set < 0) return -1;
    int error = add_paths(rule_set, wanted->readable, (FS_EXECUTE | FS_READ_FILE | FS_READ_DIR) & attributes.files);
    if (error == 0) error = add_paths(rule_set, wanted->writable, attributes.files);
    if (error == 0) return rule_set;
    close(rule_set);
    errno = error;
    return -1;
}

int postern_landlock_enforce(int rule_set) {
    long result = syscall(landlock_restrict, rule_set, 0);
    int error = errno;
    close(rule_set);
    return result == 0 ? 0 : error;
}
