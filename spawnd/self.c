/*
 * Packages replace a program by renaming a new file over it, and the system
 * then calls the one that runs "PATH (deleted)". Administrators move a
 * symbolic link. Both are found at the path by which we were started.
 */
#include <sys/stat.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "self.h"

/* Where systems keep a link to the running program. */
static const char *const links[] = {
	"/proc/self/exe", "/proc/curproc/file", "/proc/self/path/a.out",
};

static const char *
path_search(const char *name, char *buf, size_t size)
{
	const char *path = getenv("PATH"), *end;

	for (; path != NULL && *path != '\0'; path = *end != '\0' ? end + 1 :
	    end) {
		end = strchr(path, ':');
		if (end == NULL)
			end = path + strlen(path);
		snprintf(buf, size, "%.*s/%s", (int)(end - path), path, name);
		if (access(buf, X_OK) == 0)
			return buf;
	}
	snprintf(buf, size, "%s", name);
	return buf;
}

void
self_undelete(char *path)
{
	static const char mark[] = " (deleted)";
	size_t n = strlen(path);

	if (n > sizeof(mark) - 1 &&
	    strcmp(path + n - (sizeof(mark) - 1), mark) == 0)
		path[n - (sizeof(mark) - 1)] = '\0';
}

const char *
self_path(const char *argv0, char *buf, size_t size)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		ssize_t n = readlink(links[i], buf, size - 1);

		if (n <= 0 || (size_t)n >= size - 1)
			continue;
		buf[n] = '\0';
		/* a file may really be called that */
		if (access(buf, F_OK) == -1)
			self_undelete(buf);
		return buf;
	}
	if (strchr(argv0, '/') == NULL)
		return path_search(argv0, buf, size);
	snprintf(buf, size, "%s", argv0);
	return buf;
}

#ifdef __APPLE__
#define st_mtim	st_mtimespec
#endif

static bool
file_note(struct self_file *f, const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1 || !S_ISREG(st.st_mode))
		return false;
	f->dev = (uint64_t)st.st_dev;
	f->ino = (uint64_t)st.st_ino;
	f->size = (uint64_t)st.st_size;
	f->seconds = (int64_t)st.st_mtim.tv_sec;
	f->nanoseconds = (int64_t)st.st_mtim.tv_nsec;
	return true;
}

static bool
file_same(const struct self_file *a, const struct self_file *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

static const char *
link_running(void)
{
	struct stat st;

	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++)
		if (stat(links[i], &st) == 0)
			return links[i];
	return NULL;
}

/* A link whose name is there and is another file: valgrind and emulators
 * tell of the program's name, but have the system's link to themselves. */
static bool
link_lies(const char *link, const struct self_file *running)
{
	char name[PATH_MAX];
	struct self_file there;
	ssize_t n = readlink(link, name, sizeof(name) - 1);

	if (n <= 0)
		return false;
	name[n] = '\0';
	return file_note(&there, name) && !file_same(&there, running);
}

/* As it was typed, but absolute. false: too long. */
static bool
path_typed(char buf[PATH_MAX], const char *argv0)
{
	char found[PATH_MAX], dir[PATH_MAX];
	const char *path = argv0;
	int n;

	if (strchr(argv0, '/') == NULL)
		path = path_search(argv0, found, sizeof(found));
	if (path[0] == '/')
		n = snprintf(buf, PATH_MAX, "%s", path);
	else if (getcwd(dir, sizeof(dir)) != NULL)
		n = snprintf(buf, PATH_MAX, "%s/%s", dir, path);
	else
		return false;
	return n > 0 && n < PATH_MAX;
}

void
self_note(struct self *self, const char *argv0, const char *path)
{
	const char *link = link_running();
	struct self_file there;

	self->known = file_note(&self->file, link != NULL ? link : path);
	self->emulated = self->known && link != NULL &&
	    link_lies(link, &self->file);
	if (self->emulated)
		self->known = file_note(&self->file, path);
	if (self->known && path_typed(self->path, argv0) &&
	    file_note(&there, self->path) && file_same(&there, &self->file))
		return;
	/* argv[0] may be anything, or replaced since */
	snprintf(self->path, sizeof(self->path), "%s", path);
}

bool
self_replaced(const struct self *self)
{
	struct self_file there;

	return self->known && file_note(&there, self->path) &&
	    !file_same(&there, &self->file) && access(self->path, X_OK) == 0;
}

const char *
self_image(const struct self *self, const char *path)
{
	const char *link;
	struct self_file there;

	if (!self->known || self->emulated || (file_note(&there, path) &&
	    file_same(&there, &self->file)))
		return path;
	link = link_running();
	return link != NULL ? link : path;
}
