#include "options_file.h"

#include "option_value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES 65536
#define WHERE_BYTES 4200 /* a path, a line number and an option's name */

struct file {
	struct options *o;
	const char *path;
	FILE *err;
	unsigned line;
	unsigned set_on[OPTION_COUNT]; /* line, 0 for none */
};

/* The whole file with a NUL behind it. NULL, and an error said, when it can't be had. The caller frees it. */
static char *read_whole(const char *path, size_t *len, FILE *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) != 0) {
		option_error(err, path, "cannot read the file of --config: %s", strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		option_error(err, path, "cannot read the file of --config: it is %s",
			     S_ISDIR(st.st_mode) ? "a directory" : "no regular file");
		goto out;
	}
	text = malloc(FILE_MAX_BYTES + 1);
	*len = 0;
	do {
		n = text == NULL ? -1 : read(fd, text + *len, FILE_MAX_BYTES + 1 - *len);
		if (n > 0)
			*len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0 || *len > FILE_MAX_BYTES) {
		option_error(err, path, "cannot read the file of --config: %s",
			     n < 0 ? strerror(errno) : "it is larger than 64 KiB");
		free(text);
		text = NULL;
		goto out;
	}
	text[*len] = '\0';
out:
	if (fd >= 0)
		(void)close(fd);
	return text;
}

/* Bytes of what can be an option's name: what else stands in a line may be part of a password, and is not printed. */
static size_t name_length(const char *p)
{
	return strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
}

static const struct option *find_option(const struct file *f, const char *where, struct str name)
{
	const struct option *option = option_find(name);
	char hint[OPTION_HINT_BYTES];

	if (option == NULL) {
		option_hint(name, "", hint);
		option_error(f->err, where, "there is no option \"%.*s\"%s", (int)(name.len < 40 ? name.len : 40), name.p, hint);
	} else if ((option->places & OPTION_IN_FILE) == 0) {
		option_error(f->err, where, "%s can't be set in the file; give it as a flag", option->name);
		option = NULL;
	}
	return option;
}

/* Reads one line, which ends with a NUL at `len`. */
static bool read_line(struct file *f, char *line, size_t len)
{
	char where[WHERE_BYTES];
	struct option_source from = {.where = where, .err = f->err};
	const struct option *option;
	struct str name;
	char *value;

	(void)snprintf(where, sizeof(where), "%s:%u", f->path, f->line);
	if (strlen(line) != len) {
		option_error(f->err, where, "the line holds a NUL byte");
		return false;
	}
	while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL)
		line[--len] = '\0';
	line += strspn(line, " \t");
	if (*line == '\0' || *line == '#')
		return true;
	name = str_make(line, name_length(line));
	value = line + name.len + strspn(line + name.len, " \t");
	if (*value != '=' || name.len == 0) {
		option_error(f->err, where, "not a line of the form name = value");
		return false;
	}
	value += 1 + strspn(value + 1, " \t");
	option = find_option(f, where, name);
	if (option == NULL)
		return false;
	if (f->set_on[option - option_table] != 0) {
		option_error(f->err, where, "%s is set already on line %u", option->name, f->set_on[option - option_table]);
		return false;
	}
	f->set_on[option - option_table] = f->line;
	(void)snprintf(where, sizeof(where), "%s:%u: %s", f->path, f->line, option->name);
	return option_set(option, f->o, value, &from);
}

bool options_file_read(struct options *o, const char *path, FILE *err)
{
	struct file f = {.o = o, .path = path, .err = err};
	size_t len;
	char *text = read_whole(path, &len, err), *end;
	bool good = true;

	if (text == NULL)
		return false;
	end = text + len;
	for (char *line = text; good && line < end;) {
		char *stop = memchr(line, '\n', (size_t)(end - line));

		if (stop == NULL)
			stop = end;
		*stop = '\0';
		f.line++;
		good = read_line(&f, line, (size_t)(stop - line));
		line = stop + 1;
	}
	explicit_bzero(text, len); /* it may hold a password */
	free(text);
	return good;
}
