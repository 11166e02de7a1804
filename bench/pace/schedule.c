#include "schedule.h"

#include <math.h>

#define SECOND_NS 1e9

/* splitmix64: 0 <= number < 1 */
static double random_number(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static void place_next(struct schedule *s)
{
	double after_ns;

	/* A division per request, not a sum of steps: nothing adds up over hours. */
	if (s->poisson)
		s->at_s -= log1p(-random_number(&s->random)) / s->rate;
	else
		s->at_s = (double)s->taken / s->rate;
	after_ns = s->at_s * SECOND_NS;
	s->next_ns = after_ns < (double)(s->end_ns - s->begin_ns) ? s->begin_ns + (int64_t)after_ns : SCHEDULE_OVER;
}

void schedule_init(struct schedule *s, double rate, bool poisson, uint64_t seed, int64_t begin_ns, int64_t end_ns)
{
	*s = (struct schedule){.rate = rate, .poisson = poisson, .random = seed, .begin_ns = begin_ns, .end_ns = end_ns};
	place_next(s);
}

int64_t schedule_take(struct schedule *s)
{
	int64_t due = s->next_ns;

	s->taken++;
	place_next(s);
	return due;
}

void schedule_end(struct schedule *s, int64_t end_ns)
{
	s->end_ns = end_ns;
	if (s->next_ns >= end_ns)
		s->next_ns = SCHEDULE_OVER;
}
