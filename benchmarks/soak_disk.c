/* A disk that is slow or fails to read, for the processes of the soak: loaded before the C library.
   It does so while there is a file `slow` or `unreadable` in the folder SOAK_FAULTS. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEXT(name) ((typeof(&name)) dlsym(RTLD_NEXT, #name))

static int is_on(const char *fault)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("SOAK_FAULTS"), fault);
    return access(path, F_OK) == 0;
}

static int is_outbox(int descriptor)
{
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    return readlink(link, path, sizeof path - 1) > 0 && strstr(path, "/outbox.sqlite") != NULL;
}

int fsync(int descriptor)
{
    if (is_on("slow") && is_outbox(descriptor))
        sleep(2);
    return NEXT(fsync)(descriptor);
}

int fdatasync(int descriptor)
{
    if (is_on("slow") && is_outbox(descriptor))
        sleep(2);
    return NEXT(fdatasync)(descriptor);
}

ssize_t read(int descriptor, void *to, size_t count)
{
    if (is_on("unreadable") && is_outbox(descriptor)) {
        errno = EIO;
        return -1;
    }
    return NEXT(read)(descriptor, to, count);
}

ssize_t pread64(int descriptor, void *to, size_t count, off64_t offset)
{
    if (is_on("unreadable") && is_outbox(descriptor)) {
        errno = EIO;
        return -1;
    }
    return NEXT(pread64)(descriptor, to, count, offset);
}
