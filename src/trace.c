#include "trace.h"

/* version "-" trace-id "-" parent-id "-" flags; a later version may have more behind another "-". */
#define VERSION_AT ((size_t)0)
#define TRACE_AT ((size_t)3)
#define PARENT_AT ((size_t)36)
#define FLAGS_AT ((size_t)53)
#define FIELD_BYTES ((size_t)55)

static bool is_hex(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!(p[i] >= '0' && p[i] <= '9') && !(p[i] >= 'a' && p[i] <= 'f'))
			return false;
	}
	return true;
}

static bool is_id(const char *p, size_t len)
{
	bool zero = true;

	for (size_t i = 0; i < len; i++)
		zero = zero && p[i] == '0';
	return !zero && is_hex(p, len);
}

bool trace_parse(struct str s, struct trace *t)
{
	const char *p = s.p;

	if (s.len < FIELD_BYTES || p[TRACE_AT - 1] != '-' || p[PARENT_AT - 1] != '-' || p[FLAGS_AT - 1] != '-')
		return false;
	if (!is_hex(p + VERSION_AT, 2) || !is_id(p + TRACE_AT, 32) || !is_id(p + PARENT_AT, 16) || !is_hex(p + FLAGS_AT, 2))
		return false;
	if (memcmp(p, "ff", 2) == 0 || (s.len > FIELD_BYTES && (memcmp(p, "00", 2) == 0 || p[FIELD_BYTES] != '-')))
		return false;
	memcpy(t->trace_id, p + TRACE_AT, 32);
	t->trace_id[32] = '\0';
	memcpy(t->parent_id, p + PARENT_AT, 16);
	t->parent_id[16] = '\0';
	return true;
}
