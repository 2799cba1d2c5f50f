/*
 * decode.h
 *	  Bytes to records.
 *
 * Strings of the records point into the input where they can, else into the
 * arena: both must outlive the records.  A decoder takes a message whole or
 * refuses it; what it had to mend in a record the record's notes say.
 */
#ifndef SL_DECODE_H
#define SL_DECODE_H

#include "../record.h"

#ifdef __cplusplus
extern "C"
{
#endif

	typedef enum sl_format
	{
		SL_AUTO,
		SL_OTLP_PROTO,
		SL_OTLP_JSON,
		SL_JSON,
		SL_TEXT
	} sl_format;

/* Deepest nesting that is taken, in JSON and in OTLP's values. */
#define SL_MAX_DEPTH 128

/* Largest message, in bytes. */
#define SL_MAX_MESSAGE ((size_t) 32 * 1024 * 1024)

	/* Appends a message's records; on failure *records is as it was. */
	extern bool sl_decode(sl_format format, const char *data, size_t n,
						  sl_arena *arena, sl_records *records, sl_error *err);

	/* "otlp_proto" etc.; false if there is no such format. */
	extern bool sl_format_from_name(sl_str name, sl_format *format);

	/* The decoders behind sl_decode. */
	extern bool sl_decode_otlp_proto(const char *data, size_t n, sl_arena *arena,
									 sl_records *records, sl_error *err);
	extern bool sl_decode_json(const char *data, size_t n, bool otlp, bool either,
							   sl_arena *arena, sl_records *records, sl_error *err);
	extern bool sl_decode_text(const char *data, size_t n, sl_arena *arena,
							   sl_records *records, sl_error *err);

	/* A JSON object's members as fields, without regard to known names. */
	extern bool sl_decode_fields(const char *data, size_t n, sl_arena *arena,
								 sl_fields *fields, sl_error *err);

	/* A string of the input as a record may hold it: itself, or repaired. */
	extern sl_str sl_take_text(sl_arena *arena, const char *p, size_t n, uint32_t *notes);

	/* Bytes as lower-case hex; a value's bytes as base64. */
	extern sl_str sl_hex(sl_arena *arena, const unsigned char *p, size_t n);
	extern sl_str sl_base64(sl_arena *arena, const unsigned char *p, size_t n);

/* Longest dotted path; longer ones are cut, so that nesting can't multiply memory. */
#define SL_MAX_PATH 512

	/* path.name, or name alone for an empty path. */
	extern sl_str sl_join_path(sl_arena *arena, sl_str path, sl_str name);

#ifdef __cplusplus
}
#endif
#endif /* SL_DECODE_H */
