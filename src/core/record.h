/*
 * record.h
 *	  One log record in OpenTelemetry's data model, whatever it came as.
 *
 * Nine names are known (sl_known); every other attribute is a field by its
 * dotted path, and resource attributes are fields of the resource that many
 * records share.  An array is several fields of one name in a row, each
 * marked as an element.  All strings are valid UTF-8 without NUL: decoders
 * repair what isn't, and the record notes it.
 */
#ifndef SL_RECORD_H
#define SL_RECORD_H

#include "arena.h"

#ifdef __cplusplus
extern "C"
{
#endif

	typedef enum sl_type
	{
		SL_NULL,
		SL_STRING,
		SL_INT,
		SL_DOUBLE,
		SL_BOOL
	} sl_type;

	typedef struct sl_value
	{
		sl_type type;
		bool element; /* one of an array's values */
		union
		{
			sl_str s;
			int64_t i;
			double d;
			bool b;
		} u;
	} sl_value;

	typedef struct sl_field
	{
		sl_str name;
		sl_value value;
	} sl_field;

	typedef struct sl_fields
	{
		sl_field *v;
		uint32_t n;
		uint32_t cap;
	} sl_fields;

	/* Text slots of a record; the times and the severity number stand apart. */
	typedef enum sl_known
	{
		SL_LEVEL,
		SL_MESSAGE,
		SL_SERVICE,
		SL_TRACE_ID,
		SL_SPAN_ID,
		SL_REQUEST_ID,
		SL_ERROR_CODE,
		SL_KNOWN_TEXTS
	} sl_known;

/* What a decoder had to change; shown as attribute "stacklens.note". */
#define SL_NOTE_TEXT 1		/* NUL, lone surrogate or invalid UTF-8 replaced */
#define SL_NOTE_TIMESTAMP 2 /* a timestamp that isn't one was ignored */
#define SL_NOTE_NUMBER 4	/* a number out of range is kept as its digits */
#define SL_NOTE_SEVERITY 8	/* a severity number outside 1-24 was ignored */
#define SL_NOTE_ID 16		/* a trace or span id that isn't one was ignored */

	typedef struct sl_resource
	{
		sl_fields fields;
		uint32_t notes;
		sl_str service; /* its service.name; p == NULL where missing */
	} sl_resource;

	typedef struct sl_record
	{
		int64_t timestamp; /* ns since 1970; 0 = none */
		int64_t observed;  /* ns since 1970; 0 = none */
		int severity;	   /* 1-24; 0 = none */
		uint32_t notes;
		int64_t watermark;			 /* ns: how far its source had come with it; for correlations */
		sl_str text[SL_KNOWN_TEXTS]; /* p == NULL where missing */
		sl_fields attributes;
		sl_resource *resource; /* NULL, or shared by a message's records */
	} sl_record;

	typedef struct sl_records
	{
		sl_record *v;
		size_t n;
		size_t cap;
		size_t refused;			 /* records of a good message that could not be taken */
		const sl_error *refusal; /* why, of the last one */
	} sl_records;

	extern const char *const sl_known_name[SL_KNOWN_TEXTS];

	/* The known slot that a name is a spelling of, or -1. */
	extern int sl_known_slot(sl_str name);

	/* The name under which records keep what is spelled so: "msg" is "message". */
	extern sl_str sl_field_name(sl_str name);

	/* The first value under a field's name as text; p == NULL where missing. */
	extern sl_str sl_record_text(sl_arena *arena, const sl_record *record, sl_str name);

	/* Takes back what was added since a copy of the list was made. */
	extern void sl_records_restore(sl_records *records, const sl_records *before);

	/* Takes the last record away again, for the reason given. */
	extern void sl_records_refuse(sl_arena *arena, sl_records *records, const sl_error *err);

	extern sl_record *sl_records_add(sl_arena *arena, sl_records *records);
	extern sl_value *sl_fields_add(sl_arena *arena, sl_fields *fields, sl_str name);

	/*
 * Puts a value under a name: into a known slot where the name is one of
 * theirs (or a spelling of it), else among the attributes.
 */
	extern void sl_record_set(sl_arena *arena, sl_record *record, sl_str name, sl_value value);

	/*
 * Moves attributes that bear known names into slots that are still free: for
 * formats that have fields of their own, which come first wherever they stand.
 */
	extern void sl_record_promote(sl_arena *arena, sl_record *record);

	/* Looks up what all of a resource's records derive from it. */
	extern void sl_resource_finish(sl_resource *resource);

	/* Derives what follows from what is there: level, severity, service. */
	extern void sl_record_finish(sl_arena *arena, sl_record *record);

	/* Severity number of a level's text, 0 if it says nothing; and back. */
	extern int sl_severity_of(sl_str level);
	extern const char *sl_level_of(int severity);

	/* ISO 8601 (RFC 3339, or with a space) to ns since 1970. */
	extern bool sl_parse_timestamp(sl_str s, int64_t *ns);

	/* Epoch seconds, ms, us or ns, told apart by their size, to ns. */
	extern bool sl_epoch_timestamp(double value, int64_t *ns);
	extern bool sl_epoch_timestamp_int(int64_t value, int64_t *ns);

	/* The number that a value is: text counts where it is a decimal number. */
	extern bool sl_value_number(const sl_value *value, double *number);

	/* The text of a scalar as a person would write it; for strings themselves. */
	extern sl_str sl_value_text(sl_arena *arena, const sl_value *value);

	/* A JSON object of fields, sorted by name; notes when not 0. */
	extern void sl_fields_json(sl_buf *out, const sl_fields *fields, uint32_t notes);

	/* The same in the order in which they come, which is faster. */
	extern void sl_fields_json_as_they_are(sl_buf *out, const sl_fields *fields, uint32_t notes);

	/* Its known texts as members of an object, each with a comma behind it. */
	extern void sl_record_texts_json(sl_buf *out, const sl_record *record);

	/* The whole record as one JSON object, as samples and the feed show it. */
	extern void sl_record_json(sl_buf *out, const sl_record *record);

	/* ns as RFC 3339 in UTC; buf of 64 bytes. */
	extern void sl_format_timestamp(char *buf, int64_t ns);

#ifdef __cplusplus
}
#endif
#endif /* SL_RECORD_H */
