#include "team.h"

#include <unistd.h>

void team_begin(struct team *t)
{
	*t = (struct team){0};
	(void)snprintf(t->board, sizeof t->board, "%s/board-%d", env_need("RUN_DIR"), (int)getpid());
	(void)snprintf(t->option, sizeof t->option, "--scoreboard=%s", t->board);
	(void)unlink(t->board);
}

void team_begin_two(struct team *t)
{
	team_begin(t);
	team_add(t, NOWHERE, NULL);
	team_add(t, NOWHERE, NULL);
}

struct worker *team_add(struct team *t, const char *database, const char *more)
{
	ck_assert_int_lt(t->count, TEAM_MOST);
	struct worker *w = &t->w[t->count++];

	worker_start(w, database, (const char *const[]){t->option, more, NULL});
	return w;
}

void team_end(struct team *t)
{
	for (int i = 0; i < t->count; i++) {
		if (t->w[i].pid != 0)
			worker_end(&t->w[i]);
	}
	(void)unlink(t->board);
}
