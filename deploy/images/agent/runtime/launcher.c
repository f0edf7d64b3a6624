/* Starts the Python of the agent bundle with the bundle's own dynamic loader and C library.
 *
 * The bundle is one folder that is copied into a volume and started inside foreign images, so nothing may depend on
 * where it lies or on what else is there: no shell, no Python, perhaps an older C library. That is why this program is
 * static, and why it finds its folder through /proc/self/exe:
 *
 *     <folder>/bin/agent    ->  python -m agent ARGUMENTS...
 *     <folder>/bin/install  ->  <folder>/lib/install.pyc ARGUMENTS...
 *
 * It replaces itself by execve, so the process id stays (the agent is process 1 of its container).
 *
 * The file name of the interpreter, PYTHON, is given by the image's build.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CANNOT_START 126 /* what a shell answers for a program that it found and could not run */
#define KEEP "MIDDLEWARE_AGENT_KEEP_"

extern char **environ;

static int fail(const char *what, const char *path) {
    fprintf(stderr, "agent: %s %s: %s\n", what, path, strerror(errno));
    return CANNOT_START;
}

static char *join(const char *first, const char *second) {
    size_t size = strlen(first) + strlen(second) + 1;
    char *joined = malloc(size);
    if (joined == NULL) {
        _exit(CANNOT_START);
    }
    snprintf(joined, size, "%s%s", first, second);
    return joined;
}

/* Variables of the image's own C library: they would load the image's libraries into our process, or tune our
 * allocator for the engine. start.py puts them back before the agent runs, so the engine's environment is untouched. */
static int is_for_the_loader(const char *variable) {
    return strncmp(variable, "LD_", 3) == 0 || strncmp(variable, "MALLOC_", 7) == 0 ||
           strncmp(variable, "GLIBC_TUNABLES=", 15) == 0;
}

static char **environment(void) {
    size_t count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **result = calloc(count + 2, sizeof *result);
    if (result == NULL) {
        _exit(CANNOT_START);
    }
    for (size_t i = 0; i < count; i++) {
        result[i] = is_for_the_loader(environ[i]) ? join(KEEP, environ[i]) : environ[i];
    }
    /* One heap for all threads: gRPC's threads would each get their own, and keep what they
     * once needed (4 to 11 MB more after a burst of calls). */
    result[count] = "MALLOC_ARENA_MAX=1";
    return result;
}

int main(int argc, char **argv) {
    /* The kernel resolves every symbolic link here, so this is the real file, in the mount namespace of the caller.
     * It does not end the string, and cuts a longer path without an error. */
    char folder[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder);
    if (length < 0) {
        return fail("cannot find its own folder: is /proc mounted? readlink", "/proc/self/exe");
    }
    if ((size_t)length >= sizeof folder) {
        errno = ENAMETOOLONG;
        return fail("cannot find its own folder:", "/proc/self/exe");
    }
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    char *name = slash + 1;
    *slash = '\0';
    slash = strrchr(folder, '/'); /* drops "bin" */
    if (slash == NULL) {
        errno = ENOENT;
        return fail("must lie in a folder named bin, not in", folder);
    }
    *slash = '\0';

    /* The kernel takes the process name (ps, top, /proc/<pid>/comm) from the last part of the path it is given, before
     * it follows links: lib/agent is a link to the loader, or every agent would be called "ld-linux-x86-64". */
    char *loader = join(folder, "/lib/agent");
    int installs = strcmp(name, "install") == 0;

    /* `--argv0` (C library 2.33 or later) gives Python the path from which it derives sys.prefix, and with it its
     * standard library: so neither PYTHONHOME nor LD_LIBRARY_PATH is set, and children inherit nothing of ours.
     * -I ignores PYTHON* variables and the working directory, -S skips site-packages, -B writes no bytecode. */
    char *fixed[] = {
        "agent", "--inhibit-cache", "--library-path", join(folder, "/lib"), "--argv0", join(folder, "/bin/" PYTHON),
        join(folder, "/bin/" PYTHON), "-I", "-S", "-B", "-X", "utf8", join(folder, installs ? "/lib/install.pyc" : "/lib/start.pyc"),
    };
    size_t fixed_count = sizeof fixed / sizeof *fixed;
    char **arguments = calloc(fixed_count + (size_t)argc + 1, sizeof *arguments);
    if (arguments == NULL) {
        return fail("has no memory for", "its arguments");
    }
    memcpy(arguments, fixed, sizeof fixed);
    /* Kernels before 5.18 start a program with no argv[0] at all when the caller passes none. */
    for (int i = 1; i < argc; i++) {
        arguments[fixed_count + (size_t)i - 1] = argv[i];
    }
    execve(loader, arguments, environment());
    return fail("cannot run", loader);
}
