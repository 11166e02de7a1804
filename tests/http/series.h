/*
 * series: values in Prometheus' text. A series is named as it stands there, without "agents_fcgi_".
 */
#ifndef TEST_SERIES_H
#define TEST_SERIES_H

#include "worker.h"

/* -1: it is not there exactly once. */
double in_metrics(const char *text, const char *series);

/* As this worker sees it; asserts that it answers. */
double metric(const struct worker *w, const char *series);

#define assert_metric(w, series, expected) ck_assert_double_eq(metric(w, series), expected)

#endif
