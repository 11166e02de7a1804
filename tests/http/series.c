#include "series.h"

#include <stdlib.h>
#include <string.h>

double in_metrics(const char *text, const char *series)
{
	BYTES wanted = {0};
	const char *at;

	bytes_printf(&wanted, "\nagents_fcgi_%s ", series);
	at = text != NULL ? strstr(text, wanted.p) : NULL;
	if (at == NULL || strstr(at + 1, wanted.p) != NULL)
		return -1.;
	return strtod(at + wanted.len, NULL);
}

double metric(const struct worker *w, const char *series)
{
	ANSWER a = worker_admin(w, "/metrics");

	assert_status(a, 200);
	return in_metrics(a.body.p, series);
}
