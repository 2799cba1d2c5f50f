/*
 * routes.c
 *	  Method and path to SQL.
 */
#include "gateway.h"

static const char *const no_query[] = {NULL};
static const char *const alerts_query[] = {"limit", "since", "status", "severity", "service", "rule", "q", NULL};
static const char *const logs_query[] = {"q", "since", "until", "limit", NULL};
static const char *const limit_query[] = {"limit", NULL};

static const route routes[] = {
	{"GET", "/health", ROUTE_HEALTH, false, no_query, "SELECT stacklens_internal.gateway_health()"},
	{"GET", "/metrics", ROUTE_TEXT, false, no_query, "SELECT stacklens.metrics()"},
	{"POST", "/api/ingest/log", ROUTE_INGEST, true, no_query, "SELECT stacklens_internal.gateway_ingest($1)"},
	{"POST", "/v1/logs", ROUTE_OTLP, true, no_query, "SELECT rejected, message FROM stacklens.ingest_otlp($1, $2)"},
	{"GET", "/admin/alerts", ROUTE_JSON, false, alerts_query, "SELECT stacklens_internal.gateway_alerts($1, $2, $3, $4, $5, $6, $7)"},
	{"GET", "/admin/alerts/{id}", ROUTE_JSON, false, no_query, "SELECT stacklens_internal.gateway_alert($1)"},
	{"GET", "/admin/alerts/{id}/logs", ROUTE_JSON, false, limit_query, "SELECT stacklens_internal.gateway_alert_logs($1, $2)"},
	{"GET", "/admin/logs", ROUTE_JSON, false, logs_query, "SELECT stacklens_internal.gateway_logs($1, $2, $3, $4)"},
	{"POST", "/admin/alerts/{id}/acknowledge", ROUTE_JSON, true, no_query, "SELECT stacklens_internal.gateway_change($1, 'acknowledged', $2)"},
	{"POST", "/admin/alerts/{id}/resolve", ROUTE_JSON, true, no_query, "SELECT stacklens_internal.gateway_change($1, 'resolved', $2)"},
	{"POST", "/admin/alerts/{id}/assign", ROUTE_JSON, true, no_query, "SELECT stacklens_internal.gateway_assign($1, $2)"},
	{"POST", "/admin/alerts/{id}/comment", ROUTE_JSON, true, no_query, "SELECT stacklens_internal.gateway_comment($1, $2)"},
	{"GET", "/admin/rules", ROUTE_JSON, false, no_query, "SELECT stacklens_internal.gateway_rules()"},
};

/* Does a path have the pattern's form?  Its {id} goes to id. */
static bool
has_form(const char *pattern, const char *path, char *id, size_t id_size)
{
	id[0] = '\0';
	while (*pattern)
	{
		if (*pattern == '{')
		{
			size_t n = strcspn(path, "/");

			if (n == 0 || n >= id_size)
				return false;
			memcpy(id, path, n);
			id[n] = '\0';
			path += n;
			pattern = strchr(pattern, '}') + 1;
		}
		else if (*pattern++ != *path++)
			return false;
	}
	return *path == '\0';
}

const route *
route_find(const char *method, const char *path, char *id, size_t id_size, bool *known)
{
	*known = false;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (has_form(routes[i].path, path, id, id_size))
		{
			if (strcmp(routes[i].method, method) == 0)
				return &routes[i];
			*known = true;
		}
	return NULL;
}
