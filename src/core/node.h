/*
 * node.h
 *	  A document as a tree whose nodes know where they stand: what rules are
 *	  read from, be it YAML or JSON.
 */
#ifndef SL_NODE_H
#define SL_NODE_H

#include "record.h"

#ifdef __cplusplus
extern "C"
{
#endif

	typedef enum sl_node_kind
	{
		SL_SCALAR,
		SL_LIST,
		SL_MAP
	} sl_node_kind;

	typedef struct sl_node sl_node;

	/* An entry of a map, or (without a key) of a list. */
	typedef struct sl_entry
	{
		sl_str key;
		int line; /* of the key, or of the value in a list */
		int col;
		int text_col;  /* of the key's text, see below */
		uint32_t hash; /* of the key, for sl_node_add_key's own use */
		sl_node *value;
	} sl_entry;

	struct sl_node
	{
		sl_node_kind kind;
		int line;		   /* from 1 */
		int col;		   /* from 1, in characters */
		sl_value value;	   /* SL_SCALAR */
		sl_str text;	   /* SL_SCALAR: as written */
		int text_col;	   /* where the text begins, after a quote; 0 if it isn't
								 * written as it reads (escapes, several lines) */
		sl_entry *entries; /* SL_LIST, SL_MAP */
		size_t n;
		size_t cap;
	};

/* Limits on rule documents. */
#define SL_NODE_MAX_DEPTH 64
#define SL_NODE_MAX_NODES 500000
#define SL_DOCUMENT_MAX ((size_t) 16 * 1024 * 1024)

	extern sl_node *sl_node_new(sl_arena *arena, sl_node_kind kind, int line, int col);
	extern void sl_node_add(sl_arena *arena, sl_node *node, sl_str key, int line, int col, sl_node *value);

	/* The same for a map, refusing a key that is there already. */
	extern bool sl_node_add_key(sl_arena *arena, sl_node *map, sl_str key, int line, int col,
								sl_node *value, sl_error *err);

	/* The value under a key of a map, or NULL; its entry. */
	extern sl_node *sl_node_get(const sl_node *map, const char *key);
	extern sl_entry *sl_node_entry(const sl_node *map, const char *key);

	/* "a map", "a list", "text", "a number", … for messages. */
	extern const char *sl_node_describe(const sl_node *node);

	/* The tree as JSON; positions are lost. */
	extern void sl_node_json(sl_buf *out, const sl_node *node);

	/*
 * Readers.  YAML appends every document of the text; JSON the one value.
 * Errors carry line and column.
 */
	typedef struct sl_documents
	{
		sl_node **v;
		size_t n;
		size_t cap;
	} sl_documents;

	/* A syntax error ends the text; the documents before it stand. */
	extern bool sl_read_yaml(const char *text, size_t n, sl_arena *arena,
							 sl_documents *documents, sl_error *err);
	extern bool sl_read_json(const char *text, size_t n, sl_arena *arena,
							 sl_documents *documents, sl_error *err);

	/* JSON when the text starts with { or [, else YAML. */
	extern bool sl_read_documents(const char *text, size_t n, sl_arena *arena,
								  sl_documents *documents, sl_error *err);

	extern void sl_documents_add(sl_arena *arena, sl_documents *documents, sl_node *node);

	/* The column of an offset in a text that begins at text_col; col if that is 0. */
	extern int sl_text_col(int col, int text_col, sl_str text, size_t offset);

	/* False, with the error placed at a node. */
	extern bool sl_fail_at(sl_error *err, int line, int col, const char *sqlstate,
						   const char *format, ...)
		__attribute__((format(printf, 5, 6)));

#ifdef __cplusplus
}
#endif
#endif /* SL_NODE_H */
