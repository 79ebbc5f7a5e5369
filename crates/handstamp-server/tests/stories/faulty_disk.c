/* A preloaded library that makes a disk fail on demand: while the file FAULTY_SWITCH exists, every call that would change
 * anything in FAULTY_FOLDER fails with the error number in that file. Reads succeed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int failure(void) {
    const char *name = getenv("FAULTY_SWITCH");
    FILE *file = name ? fopen(name, "r") : NULL;
    int number = 0;
    if (file) {
        if (fscanf(file, "%d", &number) != 1) number = 0;
        fclose(file);
    }
    return number;
}

static int is_in_folder(const char *path) {
    const char *folder = getenv("FAULTY_FOLDER");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int fails_at(const char *path) {
    int kept = errno, number = is_in_folder(path) ? failure() : 0;
    errno = number ? number : kept;
    return number != 0;
}

static int fails(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails_at(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *bytes, size_t count) {
    return fails(file) ? -1 : REAL(write)(file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    return fails(file) ? -1 : REAL(pwrite)(file, bytes, count, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    return fails(file) ? -1 : REAL(pwrite64)(file, bytes, count, offset);
}

int ftruncate(int file, off_t length) {
    return fails(file) ? -1 : REAL(ftruncate)(file, length);
}

int ftruncate64(int file, off64_t length) {
    return fails(file) ? -1 : REAL(ftruncate64)(file, length);
}

int fsync(int file) {
    return fails(file) ? -1 : REAL(fsync)(file);
}

int fdatasync(int file) {
    return fails(file) ? -1 : REAL(fdatasync)(file);
}

int unlink(const char *path) {
    return fails_at(path) ? -1 : REAL(unlink)(path);
}

/* On a read-only disk, a file cannot be opened for writing. */
static int open_fails(const char *path, int flags) {
    return (flags & (O_WRONLY | O_RDWR | O_CREAT)) && is_in_folder(path) && failure() == EROFS && fails_at(path);
}

static int mode_of(int flags, va_list arguments) {
    return flags & O_CREAT ? va_arg(arguments, int) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_fails(path, flags) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_fails(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}
