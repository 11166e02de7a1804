/*
 * The figures as others read them: the percentile spectrum as HdrHistogram's plotters do, the JSON with a strict parser and against pace.1.
 */
#include "random.h"
#include "report.h"
#include "suite.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#define COUNT 10000

static struct cli cli = {
	.url_text = "http://127.0.0.1/", .connections = 1, .rate = 1000, .duration_ns = 10000000000, .latency = true};
static struct figures f;
static struct second series[10];
static int64_t values[COUNT];
static char *text;
static size_t text_len;

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Latencies from 1 µs to a minute, as many in each power of ten; sorted. */
static void fill(size_t count)
{
	uint64_t seed = random_seed();

	f = (struct figures){.end_ns = cli.duration_ns, .finish_ns = cli.duration_ns, .series = series, .seconds = 10};
	for (size_t i = 0; i < count; i++) {
		values[i] = (int64_t)pow(10, 7.7 * random_below(&seed, 1u << 30) / (1u << 30));
		histogram_add(&f.latency, values[i]);
	}
	qsort(values, count, sizeof(values[0]), compare);
}

static void write_text(void)
{
	FILE *out = open_memstream(&text, &text_len);

	ck_assert_ptr_nonnull(out);
	ck_assert(report_text(&cli, &f, out));
	ck_assert_int_eq(fclose(out), 0);
}

/* How many of the values are at most this long. */
static uint64_t values_up_to(int64_t us, size_t count)
{
	uint64_t n = 0;

	while (n < count && values[n] <= us)
		n++;
	return n;
}

/* The rest of a text behind `line`, which must be there. */
static const char *behind(const char *where, const char *line)
{
	const char *at = strstr(where, line);

	ck_assert_msg(at != NULL, "no '%s' in:\n%s", line, where);
	return at + strlen(line);
}

/* The number behind `name` and a blank, a '=' and a blank. */
static double named(const char *where, const char *name)
{
	const char *at = behind(where, name);
	double value;

	ck_assert_int_eq(sscanf(at, " = %lf", &value), 1);
	return value;
}

/* The four columns of a line, as a plotter splits them; false when it is none of the table. */
static bool read_row(const char *line, double *value_ms, double *percentile, uint64_t *total, double *inverse)
{
	char words[4][32], more[2];
	unsigned long count;
	char *end;

	if (sscanf(line, "%31s%31s%31s%31s%1[^\n]", words[0], words[1], words[2], words[3], more) != 4 || *words[0] == '#')
		return false;
	*value_ms = strtod(words[0], &end);
	ck_assert_int_eq(*end, '\0');
	*percentile = strtod(words[1], &end);
	ck_assert_int_eq(*end, '\0');
	count = strtoul(words[2], &end, 10);
	*total = count;
	ck_assert_int_eq(*end, '\0');
	*inverse = strtod(words[3], &end);
	ck_assert_int_eq(*end, '\0');
	return true;
}

/* Reads the table to its last row, and returns how many rows it has. Each says the truth about the values. */
static size_t check_rows(const char **at, size_t count)
{
	double last_ms = 0, last_percentile = -1;

	for (size_t rows = 1;; rows++) {
		double value_ms, percentile, inverse;
		uint64_t total;
		int64_t us;

		ck_assert_msg(read_row(*at, &value_ms, &percentile, &total, &inverse), "row %zu: %s", rows, *at);
		*at = behind(*at, "\n");
		us = llround(value_ms * 1000);
		ck_assert_double_ge(value_ms, last_ms);
		ck_assert_double_gt(percentile, last_percentile);
		ck_assert_uint_eq(total, values_up_to(us, count));
		ck_assert_double_ge((double)total + 1e-6, percentile * (double)count);
		if (isinf(inverse)) {
			ck_assert_double_eq(percentile, 1);
			ck_assert_uint_eq(total, count);
			ck_assert_int_eq(us, count > 0 ? values[count - 1] : 0);
			return rows;
		}
		/* Both are rounded when they are printed. */
		ck_assert_double_eq_tol(inverse * (1 - percentile), 1, 0.005 + inverse * 1e-12);
		last_ms = value_ms;
		last_percentile = percentile;
	}
}

static size_t check_spectrum(size_t count)
{
	const char *at;
	size_t rows;

	fill(count);
	write_text();
	at = behind(text, "\n  Detailed Percentile spectrum:\n       Value   Percentile   TotalCount 1/(1-Percentile)\n\n");
	rows = check_rows(&at, count);
	ck_assert_int_eq(strncmp(at, "#[Mean    = ", 12), 0);
	ck_assert_double_eq_tol(named(at, "#[Mean   "), f.latency.mean_us / 1000, 0.0005001);
	ck_assert_double_eq_tol(named(at, ", StdDeviation  "), histogram_stdev(&f.latency) / 1000, 0.0005001);
	ck_assert_double_eq_tol(named(at, "#[Max    "), (double)f.latency.max_us / 1000, 0.0005001);
	ck_assert_double_eq(named(at, ", Total count   "), (double)count);
	ck_assert_double_eq(named(at, "#[Buckets"), HISTOGRAM_SHIFTS);
	ck_assert_double_eq(named(at, ", SubBuckets    "), 2 * HISTOGRAM_HALF);
	free(text);
	return rows;
}

START_TEST(the_spectrum_is_what_plotters_read)
{
	ck_assert_uint_eq(check_spectrum(0), 1);
	ck_assert_uint_ge(check_spectrum(1), 2);
	ck_assert_uint_ge(check_spectrum(2), 3);
	/* From the median to one of 10,000 the rest halves 13 times, in five steps each; wrk2's plotters need that many to draw a curve. */
	ck_assert_uint_ge(check_spectrum(COUNT), 13 * 5);
}
END_TEST

static json_t *write_json(int argc, char **argv)
{
	FILE *out = open_memstream(&text, &text_len);
	json_error_t error;
	json_t *o;

	ck_assert_ptr_nonnull(out);
	ck_assert(report_json(&cli, &f, argc, argv, out));
	ck_assert_int_eq(fclose(out), 0);
	/* One object on one line, and nothing behind it. */
	ck_assert_ptr_eq(strchr(text, '\n'), text + text_len - 1);
	o = json_loadb(text, text_len, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(json_is_object(o), "%s at byte %d: %s", error.text, error.position, text);
	free(text);
	return o;
}

/* Also with words that need escapes or are no UTF-8, with values that JSON has no number for, and with nothing measured. */
START_TEST(the_json_is_well_formed)
{
	char *words[] = {"pace", "-H", "X: \"quoted\" \\ \t \x01 \x7f", "http://h/\xc3\xa4", "\xff\xfe", ""};
	static const char *const read[] = {"pace", "-H", "X: \"quoted\" \\ \t \x01 \x7f", "http://h/\xc3\xa4", "(not UTF-8)", ""};
	json_t *o;

	fill(COUNT);
	o = write_json(6, words);
	ck_assert_uint_eq(json_array_size(json_object_get(o, "command")), 6);
	for (size_t i = 0; i < 6; i++)
		ck_assert_str_eq(json_string_value(json_array_get(json_object_get(o, "command"), i)), read[i]);
	ck_assert_double_eq_tol(json_real_value(json_object_get(json_object_get(o, "latency"), "mean_us")), f.latency.mean_us,
				f.latency.mean_us * 1e-9);
	json_decref(o);

	f = (struct figures){0}; /* as of a run that was interrupted in its warm-up */
	o = write_json(1, words);
	ck_assert_double_eq(json_real_value(json_object_get(o, "rate_achieved")), 0);
	ck_assert(json_is_array(json_object_get(o, "series")));
	json_decref(o);
}
END_TEST

/* The next member that the man page names: the items of its lists begin with Li, and have commas between their names. False: no more. */
static bool next_member(const char **at, char name[static 64])
{
	static const char *item, *line_end;

	for (;;) {
		if (item == NULL || item >= line_end) {
			item = strstr(*at, "\n.It Li ");
			if (item == NULL)
				return false;
			item += strlen("\n.It Li ");
			line_end = strchr(item, '\n');
			*at = line_end;
		}
		item += strspn(item, " ,\n");
		if (item < line_end && sscanf(item, "%63[a-z0-9_]", name) == 1) {
			item += strlen(name);
			return true;
		}
		item = line_end;
	}
}

/* It names every member of the object, and no other. */
START_TEST(the_man_page_has_every_member)
{
	FILE *man = fopen("bench/pace/pace.1", "r");
	static char page[60000];
	char *words[] = {"pace"}, name[64];
	const char *at;
	char *end;
	json_t *o;

	ck_assert_ptr_nonnull(man);
	page[fread(page, 1, sizeof(page) - 1, man)] = '\0';
	fclose(man);
	at = behind(page, "\n.Sh JSON");
	end = strstr(at, "\n.Sh SIGNALS");
	ck_assert_ptr_nonnull(end);
	*end = '\0';
	f = (struct figures){0};
	o = write_json(1, words);
	while (next_member(&at, name))
		ck_assert_msg(json_object_del(o, name) == 0, "pace.1 has a member %s", name);
	ck_assert_msg(json_object_size(o) == 0, "pace.1 lacks the member %s", json_object_iter_key(json_object_iter(o)));
	json_decref(o);
}
END_TEST

int main(void)
{
	return SUITE("report", 0, the_spectrum_is_what_plotters_read, the_json_is_well_formed, the_man_page_has_every_member);
}
