/*
 * version: the one source of the version; the top entry of CHANGELOG.md equals it (make lint).
 */
#ifndef AGENTS_VERSION_H
#define AGENTS_VERSION_H

#ifndef AGENTS_FCGI_VERSION
#define AGENTS_FCGI_VERSION "0.1.0"
#endif

#endif
