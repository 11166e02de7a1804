/* Preloaded by security.sh: before a shell starts a program, its words go to the file $WORDS, since in the process list they may stand for too short a time
 * to be seen. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int execve(const char *path, char *const argv[], char *const envp[]);

static int words = -1;

/* Now, because the shell may empty its environment first. */
__attribute__((constructor)) static void open_words(void)
{
	const char *file = getenv("WORDS");

	if (file != NULL)
		words = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(const char *text)
{
	if (write(words, text, strlen(text)) < 0)
		_exit(126);
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	for (int i = 0; words >= 0 && argv[i] != NULL; i++) {
		if (i > 0)
			put(" ");
		put(argv[i]);
	}
	if (words >= 0)
		put("\n");
	return (int)syscall(SYS_execve, path, argv, envp);
}
