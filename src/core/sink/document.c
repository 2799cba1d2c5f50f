/*
 * document.c
 *	  A record as the document that a search engine keeps, its id and its
 *	  index.
 */
#include "document.h"

#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define NS_PER_DAY ((int64_t) 86400 * 1000000000)

void
sl_document_origin_init(sl_document_origin *origin, sl_arena *arena, const char *incarnation, const char *source, const char *topic)
{
	sl_str key = sl_strf(arena, "%s\n%zu %s\n%s", incarnation, strlen(source), source, topic);
	XXH128_hash_t hash = XXH3_128bits(key.p, key.n);
	sl_buf json;

	origin->seed[0] = hash.low64;
	origin->seed[1] = hash.high64;
	sl_buf_init(&json, arena, 64);
	sl_buf_json_string(&json, (sl_str){source, strlen(source)});
	origin->source = (sl_str){json.p, json.n};
}

void
sl_document_id(char id[SL_DOCUMENT_ID + 1], const sl_document_origin *origin, const sl_place *place)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	/* by values of one width, so that it is the same on every machine of one byte order */
	int64_t key[6] = {(int64_t) origin->seed[0], (int64_t) origin->seed[1], place->partition, place->number, place->arrived, place->index};
	XXH128_hash_t hash = XXH3_128bits(key, sizeof(key));
	uint64_t low = hash.low64,
			 high = hash.high64;

	for (int i = 0; i < SL_DOCUMENT_ID; i++)
	{
		id[i] = digits[low & 63];
		low = low >> 6 | high << 58;
		high >>= 6;
	}
	id[SL_DOCUMENT_ID] = '\0';
}

static void
put_time(sl_buf *out, const char *name, int64_t ns)
{
	char text[64];

	sl_format_timestamp(text, ns);
	sl_buf_puts(out, name);
	sl_buf_puts(out, text);
	sl_buf_add(out, "\",", 2);
}

static int64_t
time_of(const sl_record *record, int64_t arrived)
{
	return record->timestamp ? record->timestamp : record->observed ? record->observed
																	: arrived;
}

void
sl_document_json(sl_buf *out, const sl_document_origin *origin, const sl_record *record, int64_t arrived)
{
	put_time(out, "{\"timestamp\":\"", time_of(record, arrived));
	if (record->observed)
		put_time(out, "\"observed_timestamp\":\"", record->observed);
	if (record->severity)
	{
		sl_buf_puts(out, "\"severity_number\":");
		if (record->severity > 9)
			sl_buf_putc(out, (char) ('0' + record->severity / 10));
		sl_buf_putc(out, (char) ('0' + record->severity % 10));
		sl_buf_putc(out, ',');
	}
	sl_record_texts_json(out, record);
	sl_buf_puts(out, "\"attributes\":");
	sl_fields_json_as_they_are(out, &record->attributes, record->notes);
	if (record->resource)
	{
		sl_buf_puts(out, ",\"resource\":");
		sl_fields_json_as_they_are(out, &record->resource->fields, 0);
	}
	sl_buf_puts(out, ",\"source\":");
	sl_buf_add(out, origin->source.p, origin->source.n);
	sl_buf_putc(out, '}');
}

/* Indices ------------------------------------------------------------------- */

bool
sl_index_pattern_check(sl_str pattern, sl_error *err)
{
	size_t length = 0,
		   days = 0;

	if (pattern.n == 0 || pattern.p[0] == '-' || pattern.p[0] == '_' || pattern.p[0] == '+' || pattern.p[0] == '.' || pattern.p[0] == '%')
	{
		sl_fail(err, SL_INVALID_PARAMETER, "name of an index begins with a letter or a digit");
		sl_error_hint(err, "For example: stacklens-logs-%%Y.%%m.%%d");
		return false;
	}
	for (size_t i = 0; i < pattern.n; i++, length++)
	{
		char c = pattern.p[i];

		if (c == '%' && i + 1 < pattern.n && strchr("Ymd", pattern.p[i + 1]))
		{
			length += pattern.p[++i] == 'Y' ? 3 : 1;
			days |= pattern.p[i] == 'Y' ? 1 : pattern.p[i] == 'm' ? 2
																  : 4;
			continue;
		}
		if (c == '%')
		{
			sl_fail(err, SL_INVALID_PARAMETER, "%% in the name of an index is followed by Y, m or d");
			sl_error_hint(err, "They stand for the year, the month and the day of the record's time (UTC): stacklens-logs-%%Y.%%m.%%d");
			return false;
		}
		if ((c >= 'A' && c <= 'Z') || (unsigned char) c <= ' ' || (unsigned char) c >= 0x7f || strchr("\\/*?\"<>|,#:", c))
		{
			sl_fail(err, SL_INVALID_PARAMETER, "name of an index can't hold \"%c\"", (unsigned char) c > ' ' && (unsigned char) c < 0x7f ? c : '?');
			sl_error_hint(err, "It is made of lower-case letters, digits, '-', '_', '.', and %%Y, %%m, %%d.");
			return false;
		}
	}
	if (length > SL_INDEX_MAX)
		return sl_fail(err, SL_INVALID_PARAMETER, "name of an index is longer than %d bytes", SL_INDEX_MAX);
	/* a day can be read back from a name only where all of it is there */
	if (days != 0 && days != 7)
	{
		sl_fail(err, SL_INVALID_PARAMETER, "name of an index has some of %%Y, %%m and %%d, but not all");
		sl_error_hint(err, "Indices are daily: name all three, or none for one index or a data stream.");
		return false;
	}
	return true;
}

bool
sl_index_pattern_has_day(const char *pattern)
{
	return strchr(pattern, '%') != NULL;
}

/* Days since 1970 and dates, of the Gregorian calendar. */
static void
date_of_day(int64_t day, int *y, int *m, int *d)
{
	char text[64];

	sl_format_timestamp(text, day * NS_PER_DAY);
	*y = *m = *d = 0;
	sscanf(text, "%d-%d-%d", y, m, d);
}

void
sl_index_name(char name[SL_INDEX_MAX + 1], const char *pattern, int64_t day)
{
	int y,
		m,
		d;
	size_t n = 0;

	date_of_day(day, &y, &m, &d);
	for (const char *p = pattern; *p && n < SL_INDEX_MAX - 4; p++)
		if (*p != '%')
			name[n++] = *p;
		else if (*++p == 'Y')
			n += (size_t) snprintf(name + n, SL_INDEX_MAX + 1 - n, "%04d", y);
		else
			n += (size_t) snprintf(name + n, SL_INDEX_MAX + 1 - n, "%02d", *p == 'm' ? m : d);
	name[n] = '\0';
}

bool
sl_index_day(const char *pattern, const char *name, int64_t *day)
{
	int y = 0,
		m = 0,
		d = 0;
	char text[32];
	char again[SL_INDEX_MAX + 1];
	int64_t ns;
	const char *s = name;

	for (const char *p = pattern; *p; p++)
	{
		int *to,
			width,
			value = 0;

		if (*p != '%')
		{
			if (*s++ != *p)
				return false;
			continue;
		}
		p++;
		to = *p == 'Y' ? &y : *p == 'm' ? &m
										: &d;
		width = *p == 'Y' ? 4 : 2;
		for (int i = 0; i < width; i++, s++)
		{
			if (*s < '0' || *s > '9')
				return false;
			value = value * 10 + (*s - '0');
		}
		*to = value;
	}
	if (*s || !sl_index_pattern_has_day(pattern))
		return false;
	snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z", y, m, d);
	if (!sl_parse_timestamp((sl_str){text, strlen(text)}, &ns))
		return false;
	*day = ns / NS_PER_DAY;
	/* a day that is none, or a name that says two of them */
	sl_index_name(again, pattern, *day);
	return strcmp(again, name) == 0;
}

void
sl_index_wildcard(char wildcard[SL_INDEX_MAX + 2], const char *pattern)
{
	size_t n = strcspn(pattern, "%");

	if (n > SL_INDEX_MAX)
		n = SL_INDEX_MAX;
	memcpy(wildcard, pattern, n);
	wildcard[n] = '\0';
	if (pattern[n])
		strcat(wildcard, "*");
}

int64_t
sl_document_day(const sl_record *record, int64_t arrived, int keep)
{
	int64_t at = time_of(record, arrived);

	if (at > arrived + NS_PER_DAY || at < arrived - keep * NS_PER_DAY)
		at = arrived;
	return at >= 0 ? at / NS_PER_DAY : -((-at + NS_PER_DAY - 1) / NS_PER_DAY);
}
