#include "problem.h"

#include "json_body.h"
#include "utf8.h"

const char *problem_title(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 204:
		return "No Content";
	case 304:
		return "Not Modified";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 500:
		return "Internal Server Error";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	default:
		return "Error";
	}
}

struct body *problem_body(int status, const char *detail, struct str request_id)
{
	json_t *problem = json_object();
	int rc = 0;

	rc |= json_object_set_new(problem, "type", json_string("about:blank"));
	rc |= json_object_set_new(problem, "title", json_string(problem_title(status)));
	rc |= json_object_set_new(problem, "status", json_integer(status));
	if (detail != NULL)
		rc |= json_object_set_new(problem, "detail", utf8_json(detail, strlen(detail)));
	if (request_id.len > 0)
		rc |= json_object_set_new(problem, "request_id", utf8_json(request_id.p, request_id.len));
	if (rc != 0) {
		json_decref(problem);
		return NULL;
	}
	return json_body(problem, 0);
}
