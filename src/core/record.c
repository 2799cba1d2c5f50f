/*
 * record.c
 *	  Building records, and showing them as JSON.
 */
#include "record.h"
#include "utf8.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

const char *const sl_known_name[SL_KNOWN_TEXTS] = {
	[SL_LEVEL] = "level",
	[SL_MESSAGE] = "message",
	[SL_SERVICE] = "service",
	[SL_TRACE_ID] = "trace_id",
	[SL_SPAN_ID] = "span_id",
	[SL_REQUEST_ID] = "request_id",
	[SL_ERROR_CODE] = "error_code",
};

/* What names of fields can mean besides the texts of sl_known. */
enum
{
	TIMESTAMP = SL_KNOWN_TEXTS,
	OBSERVED,
	SEVERITY_NUMBER,
	NO_SLOT = -1
};

/*
 * The slot whose name this is, as senders spell it.  Every attribute of every
 * record passes here; by its length most are told from all known names.
 */
static inline int
slot_of(sl_str name)
{
#define SPELLED(literal, slot)                             \
	if (memcmp(name.p, literal, sizeof(literal) - 1) == 0) \
	return slot

	switch (name.n)
	{
		case 2:
			SPELLED("ts", TIMESTAMP);
			break;
		case 3:
			SPELLED("msg", SL_MESSAGE);
			break;
		case 4:
			SPELLED("body", SL_MESSAGE);
			SPELLED("time", TIMESTAMP);
			break;
		case 5:
			SPELLED("level", SL_LEVEL);
			break;
		case 6:
			SPELLED("spanId", SL_SPAN_ID);
			break;
		case 7:
			SPELLED("message", SL_MESSAGE);
			SPELLED("service", SL_SERVICE);
			SPELLED("traceId", SL_TRACE_ID);
			SPELLED("span_id", SL_SPAN_ID);
			break;
		case 8:
			SPELLED("severity", SL_LEVEL);
			SPELLED("trace_id", SL_TRACE_ID);
			break;
		case 9:
			SPELLED("timestamp", TIMESTAMP);
			SPELLED("requestId", SL_REQUEST_ID);
			SPELLED("errorCode", SL_ERROR_CODE);
			break;
		case 10:
			SPELLED("error_code", SL_ERROR_CODE);
			SPELLED("request_id", SL_REQUEST_ID);
			SPELLED("@timestamp", TIMESTAMP);
			break;
		case 12:
			SPELLED("service.name", SL_SERVICE);
			SPELLED("severityText", SL_LEVEL);
			break;
		case 13:
			SPELLED("severity_text", SL_LEVEL);
			break;
		case 15:
			SPELLED("severity_number", SEVERITY_NUMBER);
			break;
		case 18:
			SPELLED("observed_timestamp", OBSERVED);
			break;
	}
	return NO_SLOT;
#undef SPELLED
}

int
sl_known_slot(sl_str name)
{
	int slot = slot_of(name);

	return slot < SL_KNOWN_TEXTS ? slot : -1;
}

sl_str
sl_field_name(sl_str name)
{
	int slot = slot_of(name);

	if (slot >= 0 && slot < SL_KNOWN_TEXTS)
		return (sl_str){sl_known_name[slot], strlen(sl_known_name[slot])};
	return slot == TIMESTAMP ? SL_STR("timestamp") : name;
}

sl_record *
sl_records_add(sl_arena *arena, sl_records *records)
{
	sl_record *record;

	if (records->n == records->cap)
	{
		size_t cap = records->cap ? records->cap * 4 : 1; /* most messages are one record */
		sl_record *v = sl_alloc(arena, cap * sizeof(sl_record));

		if (records->n)
			memcpy(v, records->v, records->n * sizeof(sl_record));
		records->v = v;
		records->cap = cap;
	}
	record = &records->v[records->n++];
	memset(record, 0, sizeof(*record));
	return record;
}

void
sl_records_restore(sl_records *records, const sl_records *before)
{
	records->n = before->n;
	records->refused = before->refused;
	records->refusal = before->refusal;
}

void
sl_records_refuse(sl_arena *arena, sl_records *records, const sl_error *err)
{
	sl_error *copy = sl_alloc(arena, sizeof(*copy));

	*copy = *err;
	records->refusal = copy;
	records->refused++;
	records->n--;
}

sl_value *
sl_fields_add(sl_arena *arena, sl_fields *fields, sl_str name)
{
	SL_ROOM(arena, fields->v, fields->n, fields->cap, 8);
	fields->v[fields->n].name = name;
	return &fields->v[fields->n++].value;
}

/* An epoch time that came as text. */
static bool
parse_epoch(sl_str s, int64_t *ns)
{
	char digits[32];
	char *end;
	double d;
	long long number;

	if (s.n == 0 || s.n >= sizeof(digits))
		return false;
	memcpy(digits, s.p, s.n);
	digits[s.n] = '\0';
	if (strspn(digits, "0123456789") == s.n)
	{
		errno = 0;
		number = strtoll(digits, NULL, 10);
		return errno == 0 && sl_epoch_timestamp_int(number, ns);
	}
	/* strtod would take white space, 0x10, inf and nan too */
	if (strspn(digits, "0123456789.eE+-") != s.n)
		return false;
	d = strtod(digits, &end);
	return *end == '\0' && sl_epoch_timestamp(d, ns);
}

static bool
take_timestamp(sl_value value, int64_t *ns)
{
	switch (value.type)
	{
		case SL_STRING:
			return sl_parse_timestamp(value.u.s, ns) || parse_epoch(value.u.s, ns);
		case SL_INT:
			return sl_epoch_timestamp_int(value.u.i, ns);
		case SL_DOUBLE:
			return sl_epoch_timestamp(value.u.d, ns);
		default:
			return false;
	}
}

void
sl_record_set(sl_arena *arena, sl_record *record, sl_str name, sl_value value)
{
	int slot = value.element || value.type == SL_NULL ? NO_SLOT : slot_of(name);

	/* the first spelling wins, the rest stay fields */
	if (slot == TIMESTAMP || slot == OBSERVED)
	{
		int64_t *ns = slot == TIMESTAMP ? &record->timestamp : &record->observed;

		if (*ns == 0 && take_timestamp(value, ns))
			return;
		if (*ns == 0)
			record->notes |= SL_NOTE_TIMESTAMP;
	}
	else if (slot == SEVERITY_NUMBER)
	{
		if (value.type == SL_INT && record->severity == 0)
		{
			if (value.u.i >= 1 && value.u.i <= 24)
			{
				record->severity = (int) value.u.i;
				return;
			}
			record->notes |= SL_NOTE_SEVERITY;
		}
	}
	else if (slot != NO_SLOT && !record->text[slot].p)
	{
		record->text[slot] = sl_value_text(arena, &value);
		return;
	}
	*sl_fields_add(arena, &record->attributes, name) = value;
}

void
sl_record_promote(sl_arena *arena, sl_record *record)
{
	uint32_t n = record->attributes.n;

	/* what stays is written at or before where it stood, so in place */
	record->attributes.n = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		sl_field from;

		if (record->attributes.n == i && slot_of(record->attributes.v[i].name) == NO_SLOT)
		{
			record->attributes.n++; /* stays where it is, as most do */
			continue;
		}
		from = record->attributes.v[i];
		sl_record_set(arena, record, from.name, from.value);
	}
}

void
sl_resource_finish(sl_resource *resource)
{
	const sl_fields *fields = &resource->fields;

	for (uint32_t i = 0; i < fields->n; i++)
		if (sl_str_is(fields->v[i].name, "service.name") &&
			fields->v[i].value.type == SL_STRING)
		{
			resource->service = fields->v[i].value.u.s;
			break;
		}
}

void
sl_record_finish(sl_arena *arena, sl_record *record)
{
	(void) arena;
	if (record->resource)
	{
		record->notes |= record->resource->notes;
		if (!record->text[SL_SERVICE].p)
			record->text[SL_SERVICE] = record->resource->service;
	}
	if (record->severity == 0 && record->text[SL_LEVEL].p)
		record->severity = sl_severity_of(record->text[SL_LEVEL]);
	else if (record->severity && !record->text[SL_LEVEL].p)
	{
		const char *level = sl_level_of(record->severity);

		record->text[SL_LEVEL] = (sl_str){level, strlen(level)};
	}
}

int
sl_severity_of(sl_str level)
{
	static const struct
	{
		const char *text;
		int severity;
	} levels[] = {
		{"trace", 1},
		{"debug", 5},
		{"verbose", 5},
		{"info", 9},
		{"information", 9},
		{"informational", 9},
		{"notice", 10},
		{"warn", 13},
		{"warning", 13},
		{"error", 17},
		{"err", 17},
		{"severe", 17},
		{"critical", 18},
		{"crit", 18},
		{"alert", 19},
		{"fatal", 21},
		{"panic", 21},
		{"emergency", 21},
		{"emerg", 21},
	};
	size_t n = level.n;
	int step = 0;

	/* OpenTelemetry's short names: ERROR2 is one above ERROR */
	if (n > 1 && level.p[n - 1] >= '2' && level.p[n - 1] <= '4')
		step = level.p[--n] - '1';
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strlen(levels[i].text) == n && strncasecmp(levels[i].text, level.p, n) == 0)
			return levels[i].severity + step;
	return 0;
}

const char *
sl_level_of(int severity)
{
	static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};

	return severity >= 1 && severity <= 24 ? names[(severity - 1) / 4] : "";
}

/* Reads exactly n digits at *p, moving it on. */
static bool
digits(const char **p, const char *end, int n, int *value)
{
	*value = 0;
	for (; n > 0; n--, (*p)++)
	{
		if (*p == end || **p < '0' || **p > '9')
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return true;
}

/* Days from 1970-01-01 of a Gregorian date. */
static int64_t
days_from_civil(int y, int m, int d)
{
	int era,
		yoe,
		doy,
		doe;

	y -= m <= 2;
	era = y / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return (int64_t) era * 146097 + doe - 719468;
}

bool
sl_parse_timestamp(sl_str s, int64_t *ns)
{
	static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	const char *p = s.p,
			   *end = s.p + s.n;
	int year,
		month,
		day,
		hour = 0,
		minute = 0,
		second = 0,
		offset = 0;
	int64_t fraction = 0,
			seconds;

	if (!digits(&p, end, 4, &year) || p == end || *p++ != '-' ||
		!digits(&p, end, 2, &month) || p == end || *p++ != '-' ||
		!digits(&p, end, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > month_days[month - 1] ||
		(month == 2 && day == 29 && (year % 4 || (year % 100 == 0 && year % 400))))
		return false;
	if (p < end)
	{
		if (*p != 'T' && *p != 't' && *p != ' ')
			return false;
		p++;
		if (!digits(&p, end, 2, &hour) || p == end || *p++ != ':' || !digits(&p, end, 2, &minute))
			return false;
		if (p < end && *p == ':')
		{
			p++;
			if (!digits(&p, end, 2, &second))
				return false;
			if (p < end && (*p == '.' || *p == ','))
			{
				int64_t unit = 100000000;

				p++;
				if (p == end || *p < '0' || *p > '9')
					return false;
				for (; p < end && *p >= '0' && *p <= '9'; p++, unit /= 10)
					fraction += (*p - '0') * unit;
			}
		}
		if (p < end && (*p == 'Z' || *p == 'z'))
			p++;
		else if (p < end && (*p == '+' || *p == '-'))
		{
			int sign = *p++ == '-' ? -1 : 1,
				oh,
				om = 0;

			if (!digits(&p, end, 2, &oh))
				return false;
			if (p < end && *p == ':')
				p++;
			if (p < end && !digits(&p, end, 2, &om))
				return false;
			if (oh > 15 || om > 59)
				return false;
			offset = sign * (oh * 3600 + om * 60);
		}
	}
	if (p != end || hour > 23 || minute > 59 || second > 60)
		return false;
	/* what 64 bits of ns hold; times before 1970 are no log's */
	if (year < 1970 || year > 2261)
		return false;
	seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
	if (seconds < 0 || (seconds == 0 && fraction == 0))
		return false; /* 0 stands for none */
	*ns = seconds * 1000000000 + fraction;
	return true;
}

bool
sl_epoch_timestamp(double value, int64_t *ns)
{
	double us;

	if (!(value > 0) || value >= 9.2e18)
		return false;
	if (value >= 1e17)
	{
		*ns = (int64_t) value;
		return true;
	}
	/* by way of whole microseconds: a double has no more digits of today's dates */
	us = round(value < 1e11 ? value * 1e6 : value < 1e14 ? value * 1e3
														 : value);
	if (us < 1 || us >= 9.2e15)
		return false;
	*ns = (int64_t) us * 1000;
	return true;
}

bool
sl_epoch_timestamp_int(int64_t value, int64_t *ns)
{
	int64_t unit = value < 100000000000 ? 1000000000 : value < 100000000000000	? 1000000
												   : value < 100000000000000000 ? 1000
																				: 1;

	if (value <= 0 || value > INT64_MAX / unit)
		return false;
	*ns = value * unit;
	return true;
}

/* A number of so many digits, and what stands behind it. */
static char *
put_digits(char *to, int number, int digits, char behind)
{
	for (int i = digits; i-- > 0; number /= 10)
		to[i] = (char) ('0' + number % 10);
	to[digits] = behind;
	return to + digits + 1;
}

void
sl_format_timestamp(char *buf, int64_t ns)
{
	int64_t seconds = ns / 1000000000,
			fraction = ns % 1000000000;
	int64_t days,
		rest;
	int era,
		doe,
		yoe,
		doy,
		mp,
		y,
		m,
		d;

	if (fraction < 0)
	{
		fraction += 1000000000;
		seconds--;
	}
	days = seconds / 86400;
	rest = seconds % 86400;
	if (rest < 0)
	{
		rest += 86400;
		days--;
	}
	days += 719468;
	era = (int) ((days >= 0 ? days : days - 146096) / 146097);
	doe = (int) (days - (int64_t) era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	d = doy - (153 * mp + 2) / 5 + 1;
	m = mp < 10 ? mp + 3 : mp - 9;
	y = yoe + era * 400 + (m <= 2);
	/* 64 bits of ns are years of four digits */
	buf = put_digits(buf, y, 4, '-');
	buf = put_digits(buf, m, 2, '-');
	buf = put_digits(buf, d, 2, 'T');
	buf = put_digits(buf, (int) (rest / 3600), 2, ':');
	buf = put_digits(buf, (int) (rest / 60 % 60), 2, ':');
	buf = put_digits(buf, (int) (rest % 60), 2, '.');
	buf = put_digits(buf, (int) (fraction / 1000), 6, 'Z');
	*buf = '\0';
}

/*
 * A number of few decimals, as most are, without printf's long arithmetic:
 * d is what r / 10^k rounds to, and no other decimal of 15 digits is.
 */
static bool
short_decimal(sl_arena *arena, double d, sl_str *text)
{
	static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
	double positive = fabs(d);

	if (!(positive >= 0.0001 && positive < 1e9))
		return false;
	for (int k = 1; k <= 6; k++)
	{
		double r = rint(positive * powers[k]);
		char *end,
			*p;
		uint64_t rest;

		if (r / powers[k] != positive)
			continue;
		end = p = (char *) sl_alloc(arena, 32) + 32;
		rest = (uint64_t) r;
		if (rest % 10 == 0)
			return false; /* an integer */
		for (int i = 0; i < k || rest > 0; i++, rest /= 10)
		{
			if (i == k)
				*--p = '.';
			*--p = (char) ('0' + rest % 10);
		}
		if (end - p == k)
		{
			*--p = '.';
			*--p = '0';
		}
		if (d < 0)
			*--p = '-';
		*text = (sl_str){p, (size_t) (end - p)};
		return true;
	}
	return false;
}

static sl_str
double_text(sl_arena *arena, double d)
{
	sl_str s;

	if (isnan(d))
		return SL_STR("NaN");
	if (isinf(d))
		return d > 0 ? SL_STR("Infinity") : SL_STR("-Infinity");
	if (short_decimal(arena, d, &s))
		return s;
	/* as the integer that it equals, so that 1e17 and 100000000000000000 read the same */
	if (d == floor(d) && fabs(d) < 9.2e18)
		return sl_strf(arena, "%lld", (long long) d);
	for (int precision = 15; precision <= 17; precision++)
	{
		s = sl_strf(arena, "%.*g", precision, d);
		if (strtod(s.p, NULL) == d)
			break;
	}
	return s;
}

bool
sl_value_number(const sl_value *value, double *number)
{
	char digits[64];
	char *end;
	sl_str s;

	switch (value->type)
	{
		case SL_INT:
			*number = (double) value->u.i;
			return true;
		case SL_DOUBLE:
			*number = value->u.d;
			return *number == *number;
		case SL_STRING:
			s = value->u.s;
			if (s.n == 0 || s.n >= sizeof(digits) ||
				!((s.p[0] >= '0' && s.p[0] <= '9') || s.p[0] == '-' || s.p[0] == '+' || s.p[0] == '.'))
				return false;
			memcpy(digits, s.p, s.n);
			digits[s.n] = '\0';
			/* strtod would take 0x10, inf and nan, which are no numbers of Sigma's */
			if (strspn(digits, "0123456789+-.eE") != s.n)
				return false;
			*number = strtod(digits, &end);
			return *end == '\0';
		default:
			return false;
	}
}

static sl_str
int_text(sl_arena *arena, int64_t i)
{
	char *end = (char *) sl_alloc(arena, 24) + 24,
		 *p = end;
	uint64_t rest = i < 0 ? -(uint64_t) i : (uint64_t) i;

	do
		*--p = (char) ('0' + rest % 10);
	while ((rest /= 10) > 0);
	if (i < 0)
		*--p = '-';
	return (sl_str){p, (size_t) (end - p)};
}

sl_str
sl_value_text(sl_arena *arena, const sl_value *value)
{
	switch (value->type)
	{
		case SL_STRING:
			return value->u.s;
		case SL_INT:
			return int_text(arena, value->u.i);
		case SL_DOUBLE:
			return double_text(arena, value->u.d);
		case SL_BOOL:
			return value->u.b ? SL_STR("true") : SL_STR("false");
		case SL_NULL:
			break;
	}
	return SL_STR("");
}

static void
value_json(sl_buf *out, const sl_value *value)
{
	sl_str text;

	switch (value->type)
	{
		case SL_STRING:
			sl_buf_json_string(out, value->u.s);
			return;
		case SL_NULL:
			sl_buf_puts(out, "null");
			return;
		case SL_DOUBLE:
			text = double_text(out->arena, value->u.d);
			if (!isfinite(value->u.d)) /* JSON has no word for these */
				sl_buf_json_string(out, text);
			else
				sl_buf_add(out, text.p, text.n);
			return;
		case SL_INT:
		case SL_BOOL:
			text = sl_value_text(out->arena, value);
			sl_buf_add(out, text.p, text.n);
			return;
	}
}

static void
notes_json(sl_buf *out, uint32_t notes)
{
	static const char *const words[] = {"text repaired", "timestamp ignored",
										"number out of range", "severity number ignored", "trace or span id ignored"};
	const char *comma = "";

	sl_buf_puts(out, "\"stacklens.note\":[");
	for (int i = 0; i < 5; i++)
		if (notes & (1u << i))
		{
			sl_buf_printf(out, "%s\"%s\"", comma, words[i]);
			comma = ",";
		}
	sl_buf_putc(out, ']');
}

static int
compare_fields(const void *a, const void *b)
{
	const sl_field *fa = *(const sl_field *const *) a,
				   *fb = *(const sl_field *const *) b;
	size_t n = fa->name.n < fb->name.n ? fa->name.n : fb->name.n;
	int order = n ? memcmp(fa->name.p, fb->name.p, n) : 0;

	if (order == 0 && fa->name.n != fb->name.n)
		order = fa->name.n < fb->name.n ? -1 : 1;
	if (order == 0)
		order = fa < fb ? -1 : 1; /* values keep their order */
	return order;
}

/* Fields of so many names are told apart on the stack, in a table of this size. */
#define NAMES_MAX 64
#define NAME_SLOTS 256

/*
 * Fields in the order of a list, in which values of one name stand side by
 * side: several of them, or elements, become one array.
 */
static void
put_fields(sl_buf *out, const sl_fields *fields, bool sorted, uint32_t notes)
{
	const sl_field *few[NAMES_MAX],
		**v = fields->n <= NAMES_MAX ? few : sl_alloc(out->arena, fields->n * sizeof(*v));

	for (uint32_t i = 0; i < fields->n; i++)
		v[i] = &fields->v[i];
	if (sorted)
		qsort(v, fields->n, sizeof(*v), compare_fields);
	sl_buf_putc(out, '{');
	for (uint32_t i = 0; i < fields->n;)
	{
		uint32_t first = i,
				 next = i + 1;

		while (next < fields->n && sl_str_eq(v[next]->name, v[i]->name))
			next++;
		if (i > 0)
			sl_buf_putc(out, ',');
		sl_buf_json_string(out, v[i]->name);
		sl_buf_putc(out, ':');
		if (next == i + 1 && !v[i]->value.element)
			value_json(out, &v[i++]->value);
		else
		{
			sl_buf_putc(out, '[');
			for (; i < next; i++)
			{
				if (i > first)
					sl_buf_putc(out, ',');
				value_json(out, &v[i]->value);
			}
			sl_buf_putc(out, ']');
		}
	}
	if (notes)
	{
		if (fields->n > 0)
			sl_buf_putc(out, ',');
		notes_json(out, notes);
	}
	sl_buf_putc(out, '}');
}

/*
 * Fields of one name become one array, wherever they stand: an array of
 * objects interleaves its members, and jsonb would keep the last one only.
 */
void
sl_fields_json(sl_buf *out, const sl_fields *fields, uint32_t notes)
{
	put_fields(out, fields, true, notes);
}

/*
 * Do values of one name stand side by side, as arrays do, or alone?  Only
 * then can fields be written as they come.
 */
static bool
are_together(const sl_fields *fields)
{
	uint8_t slots[NAME_SLOTS] = {0}; /* number of a field, from 1 */

	if (fields->n > NAMES_MAX)
		return false;
	for (uint32_t i = 0; i < fields->n; i++)
	{
		sl_str name = fields->v[i].name;
		size_t slot;

		if (i > 0 && sl_str_eq(name, fields->v[i - 1].name))
			continue;
		slot = XXH3_64bits(name.p, name.n) % NAME_SLOTS;
		for (; slots[slot]; slot = (slot + 1) % NAME_SLOTS)
			if (sl_str_eq(fields->v[slots[slot] - 1].name, name))
				return false;
		slots[slot] = (uint8_t) (i + 1);
	}
	return true;
}

void
sl_fields_json_as_they_are(sl_buf *out, const sl_fields *fields, uint32_t notes)
{
	put_fields(out, fields, !are_together(fields), notes);
}

/* Known texts, each with a comma behind it. */
void
sl_record_texts_json(sl_buf *out, const sl_record *record)
{
	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		if (record->text[i].p)
		{
			sl_buf_putc(out, '"');
			sl_buf_puts(out, sl_known_name[i]);
			sl_buf_add(out, "\":", 2);
			sl_buf_json_string(out, record->text[i]);
			sl_buf_putc(out, ',');
		}
}

void
sl_record_json(sl_buf *out, const sl_record *record)
{
	char when[64];

	sl_buf_putc(out, '{');
	if (record->timestamp)
	{
		sl_format_timestamp(when, record->timestamp);
		sl_buf_printf(out, "\"timestamp\":\"%s\",", when);
	}
	if (record->observed)
	{
		sl_format_timestamp(when, record->observed);
		sl_buf_printf(out, "\"observed_timestamp\":\"%s\",", when);
	}
	if (record->severity)
		sl_buf_printf(out, "\"severity_number\":%d,", record->severity);
	sl_record_texts_json(out, record);
	sl_buf_puts(out, "\"attributes\":");
	sl_fields_json(out, &record->attributes, record->notes);
	if (record->resource)
	{
		sl_buf_puts(out, ",\"resource\":");
		sl_fields_json(out, &record->resource->fields, 0);
	}
	sl_buf_putc(out, '}');
}

sl_str
sl_record_text(sl_arena *arena, const sl_record *record, sl_str name)
{
	const sl_fields *fields = &record->attributes;
	int known = sl_known_slot(name);

	if (known >= 0 && record->text[known].p)
		return record->text[known];
	if (record->resource && sl_str_starts(name, "resource."))
	{
		fields = &record->resource->fields;
		name.p += 9;
		name.n -= 9;
	}
	for (uint32_t i = 0; i < fields->n; i++)
		if (sl_str_eq(fields->v[i].name, name) && fields->v[i].value.type != SL_NULL)
			return sl_value_text(arena, &fields->v[i].value);
	return (sl_str){NULL, 0};
}
