/* What the programs here use of POSIX, and the same on Windows. */
#ifndef POSIX_H
#define POSIX_H

#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#ifndef _WIN32

#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

extern char **environ;

#else

#include <winsock2.h>
#include <ws2tcpip.h>

#define close closesocket
#define MSG_NOSIGNAL 0
#define RTLD_NOW 0
#define RTLD_LOCAL 0
#define RTLD_GLOBAL 0
#define RTLD_NOLOAD 1

__attribute__((constructor)) static inline void start_sockets(void)
{
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
}

static inline int setenv(const char *name, const char *value, int overwrite)
{
    return overwrite || getenv(name) == NULL ? _putenv_s(name, value) : 0;
}

static inline int unsetenv(const char *name) { return _putenv_s(name, ""); }

static inline void *dlopen(const char *path, int flags)
{
    return flags & RTLD_NOLOAD ? GetModuleHandleA(path) : LoadLibraryA(path);
}

static inline void *dlsym(void *library, const char *name)
{
    return (void *)(intptr_t)GetProcAddress(library, name);
}

static inline int dlclose(void *library) { return FreeLibrary(library) ? 0 : -1; }

static inline const char *dlerror(void)
{
    static char text[32];
    snprintf(text, sizeof(text), "Windows error %lu", GetLastError());
    return text;
}

#endif

#endif
