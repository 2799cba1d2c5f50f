/*
 * stacklens-rule.c
 *	  Checks and runs rules without a server, with the extension's own code.
 *
 *		stacklens-rule check PATH...
 *		stacklens-rule eval --rules PATH --events FILE|-
 *		stacklens-rule explain --rule PATH --event FILE|-
 *		stacklens-rule import PATH... | psql
 *
 * Folders are walked for .yml, .yaml and .json files, in order of name.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif

#include "../core/decode/decode.h"
#include "../core/match/explain.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

/* Where a rule was read. */
typedef struct origin
{
	const char *path;
	const sl_rule *rule;
} origin;

/* A file, for import. */
typedef struct file_text
{
	const char *path;
	const char *text;
	size_t n;
	uint32_t rank;
} file_text;

typedef struct loaded
{
	sl_arena arena;
	sl_definitions *definitions;
	sl_ruleset *set;
	origin *origins; /* of the set's rules */
	size_t cap;
	size_t files;
	size_t errors;
	FILE *report;
	bool keep_texts; /* and leave it to the server to judge them */
	file_text *texts;
	size_t n_texts;
	size_t cap_texts;
} loaded;

static void
out_of_memory(sl_arena *arena, size_t wanted)
{
	(void) arena;
	fprintf(stderr, "stacklens-rule: out of memory (%zu bytes wanted)\n", wanted);
	exit(2);
}

/* Errors are what check is asked for; elsewhere they stand beside the output. */
static void
report(loaded *l, const char *path, const sl_error *err)
{
	if (l->keep_texts)
		return;
	l->errors++;
	fprintf(l->report, "%s:%d:%d: error: %s\n", path, err->line ? err->line : 1, err->col ? err->col : 1,
			err->message);
	if (err->detail[0])
		fprintf(l->report, "    %s\n", err->detail);
	if (err->hint[0])
		fprintf(l->report, "    hint: %s\n", err->hint);
}

static char *
read_all(sl_arena *arena, FILE *file, size_t *n)
{
	sl_buf buf;
	char chunk[65536];
	size_t got;

	sl_buf_init(&buf, arena, sizeof(chunk));
	while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
		sl_buf_add(&buf, chunk, got);
	*n = buf.n;
	return buf.p;
}

static void
add_rule(loaded *l, const char *path, sl_rule *rule)
{
	size_t n = sl_ruleset_size(l->set);

	SL_ROOM(&l->arena, l->origins, n, l->cap, 256);
	l->origins[n] = (origin){path, rule};
	sl_ruleset_add(l->set, rule);
}

/* A file's text, in the arena; NULL when it can't be read, which is told. */
static char *
read_file(loaded *l, const char *path, size_t *n)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	char *text = NULL;

	if (!file)
	{
		fprintf(stderr, "stacklens-rule: could not open \"%s\": %s\n", path, strerror(errno));
		l->errors++;
		return NULL;
	}
	errno = 0;
	text = read_all(&l->arena, file, n);
	if (ferror(file))
	{
		fprintf(stderr, "stacklens-rule: could not read \"%s\": %s\n", path, strerror(errno));
		l->errors++;
		text = NULL;
	}
	if (file != stdin)
		fclose(file);
	return text;
}

static void
keep_text(loaded *l, const char *path, const char *text, size_t n)
{
	SL_ROOM(&l->arena, l->texts, l->n_texts, l->cap_texts, 256);
	l->texts[l->n_texts++] = (file_text){.path = path, .text = text, .n = n};
}

static void
load_file(loaded *l, const char *path)
{
	sl_documents documents = {0},
				 rules = {0};
	sl_error err;
	size_t n;
	char *text = read_file(l, path, &n);

	if (!text)
		return;
	path = sl_str_copy(&l->arena, path, strlen(path) + 1).p;
	l->files++;
	if (l->keep_texts)
		keep_text(l, path, text, n);
	if (!sl_read_documents(text, n, &l->arena, &documents, &err))
		report(l, path, &err);
	for (size_t i = 0; i < documents.n; i++)
		sl_rule_documents(documents.v[i], &l->arena, &rules);
	for (size_t i = 0; i < rules.n; i++)
	{
		sl_rule *rule = sl_rule_read(rules.v[i], l->definitions, &l->arena, &err);

		if (rule)
			add_rule(l, path, rule);
		else
			report(l, path, &err);
	}
}

/* A file of placeholders: a map of names to their values. */
static bool
load_placeholders(loaded *l, const char *path)
{
	sl_documents documents = {0};
	sl_error err;
	size_t n;
	char *text = read_file(l, path, &n);

	if (!text)
		return false;
	if (!sl_read_documents(text, n, &l->arena, &documents, &err))
	{
		report(l, path, &err);
		return false;
	}
	for (size_t i = 0; i < documents.n; i++)
	{
		const sl_node *map = documents.v[i];

		if (map->kind != SL_MAP)
		{
			sl_fail_at(&err, map->line, map->col, SL_SYNTAX, "placeholders are a map of names to values, not %s", sl_node_describe(map));
			report(l, path, &err);
			return false;
		}
		for (size_t k = 0; k < map->n; k++)
			if (!sl_definitions_add_placeholder(l->definitions, map->entries[k].key, map->entries[k].value, &err))
			{
				report(l, path, &err);
				return false;
			}
	}
	return true;
}

/* Of a rule that names others in vain. */
static void
report_link(void *arg, sl_rule *rule, const sl_error *err)
{
	loaded *l = arg;

	for (size_t i = 0; i < sl_ruleset_size(l->set); i++)
		if (l->origins[i].rule == rule)
			report(l, l->origins[i].path, err);
}

static bool
has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name),
		   m = strlen(suffix);

	return n > m && strcmp(name + n - m, suffix) == 0;
}

static void load_folder(loaded *l, const char *path);

static void
load_path(loaded *l, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		load_folder(l, path);
	else
		load_file(l, path);
}

static void
load_folder(loaded *l, const char *path)
{
	struct stat st;
	struct dirent **entries;
	int n;

	n = scandir(path, &entries, NULL, alphasort);
	if (n < 0)
	{
		fprintf(stderr, "stacklens-rule: could not read \"%s\": %s\n", path, strerror(errno));
		l->errors++;
		return;
	}
	for (int i = 0; i < n; i++)
	{
		const char *name = entries[i]->d_name;
		char *inner;

		if (name[0] != '.' && asprintf(&inner, "%s/%s", path, name) >= 0)
		{
			/* folders behind links are left out: they may lead back here */
			if (lstat(inner, &st) == 0 &&
				(S_ISDIR(st.st_mode) || has_suffix(name, ".yml") || has_suffix(name, ".yaml") ||
				 has_suffix(name, ".json")))
				(S_ISDIR(st.st_mode) ? load_folder : load_file)(l, inner);
			free(inner);
		}
		free(entries[i]);
	}
	free(entries);
}

static int
usage(FILE *out, int status)
{
	fputs("usage: stacklens-rule check [OPTION...] PATH...\n"
		  "       stacklens-rule eval [OPTION...] --rules PATH --events FILE|-\n"
		  "       stacklens-rule explain [OPTION...] --rule PATH --event FILE|-\n"
		  "       stacklens-rule import PATH... | psql\n"
		  "\n"
		  "check    reads rule files (folders are walked) and prints each error as\n"
		  "         file:line:column: error: ...; exits with 1 if there was one\n"
		  "eval     runs the rules on events, one JSON object a line, and prints a line\n"
		  "         of JSON for each match; a summary goes to standard error\n"
		  "explain  says of each part of a rule whether it is true of an event, and why\n"
		  "import   writes SQL that imports the files' rules: for psql\n"
		  "\n"
		  "  --placeholders FILE  a map of names to values, for the modifier \"expand\"\n"
		  "  --no-logsource       log sources constrain nothing\n"
		  "  --threads 1          the number of threads; one is all there is\n",
		  out);
	return status;
}

static int
check(loaded *l, char **paths, size_t n)
{
	if (n == 0)
		return usage(stderr, 2);
	for (size_t i = 0; i < n; i++)
		load_path(l, paths[i]);
	sl_ruleset_finish(l->set, report_link, l);
	fprintf(stderr, "%zu rules in %zu files, %zu errors\n", sl_ruleset_size(l->set), l->files, l->errors);
	return l->errors ? 1 : 0;
}

/* What stands in a match's line after the event's number; made when a rule first matches. */
static sl_str
rest_of_line(loaded *l, const sl_rule *rule)
{
	sl_buf out;

	sl_buf_init(&out, &l->arena, 128);
	sl_buf_puts(&out, ",\"rule_id\":");
	sl_buf_json_string(&out, rule->id.p ? rule->id : rule->name);
	sl_buf_puts(&out, ",\"rule\":");
	sl_buf_json_string(&out, rule->name);
	sl_buf_printf(&out, ",\"severity\":\"%s\"}\n", sl_severity_name[rule->severity]);
	return (sl_str){out.p, out.n};
}

static int
eval(loaded *l, char **paths, size_t n_paths, const char *events)
{
	FILE *file;
	sl_arena arena,
		scratch,
		image;
	sl_matcher *matcher;
	sl_str *rests; /* by rule */
	char event[32];
	char *line = NULL;
	size_t cap = 0,
		   number = 0,
		   records_seen = 0,
		   matches = 0,
		   bad = 0;
	ssize_t n;
	clock_t start;

	if (n_paths == 0 || !events)
		return usage(stderr, 2);
	for (size_t i = 0; i < n_paths; i++)
		load_path(l, paths[i]);
	file = strcmp(events, "-") == 0 ? stdin : fopen(events, "rb");
	if (!file)
	{
		fprintf(stderr, "stacklens-rule: could not open \"%s\": %s\n", events, strerror(errno));
		return 2;
	}
	setvbuf(file, NULL, _IOFBF, 256 * 1024);
	sl_ruleset_finish(l->set, report_link, l);
	/* as workers run it: in one piece, apart from what building it left behind */
	sl_arena_init(&image, 0, out_of_memory);
	sl_arena_init(&scratch, 0, out_of_memory);
	l->set = sl_ruleset_load(sl_ruleset_save(l->set, &scratch), &image);
	sl_arena_reset(&scratch);
	matcher = sl_matcher_new(&image, l->set);
	rests = sl_alloc0(&l->arena, (sl_ruleset_size(l->set) + 1) * sizeof(sl_str));
	sl_arena_init(&arena, 0, out_of_memory);
	start = clock();
	while ((n = getline(&line, &cap, file)) >= 0)
	{
		sl_records records = {0};
		sl_error err;

		number++;
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		if (n == 0)
			continue;
		sl_arena_reset(&arena);
		if (!sl_decode(SL_JSON, line, (size_t) n, &arena, &records, &err))
		{
			bad++;
			fprintf(stderr, "%s:%zu: error: %s\n", events, number, err.message);
			continue;
		}
		for (size_t i = 0; i < records.n; i++)
		{
			const uint32_t *found;
			size_t n_found;
			int event_n = 0;

			sl_arena_reset(&scratch);
			n_found = sl_match(matcher, &records.v[i], &scratch, &found);
			records_seen++;
			matches += n_found;
			for (size_t k = 0; k < n_found; k++)
			{
				sl_str *rest = &rests[found[k]];

				if (!rest->p)
					*rest = rest_of_line(l, sl_ruleset_rule(l->set, found[k]));
				if (k == 0)
					event_n = snprintf(event, sizeof(event), "{\"event\":%zu", number);
				fwrite_unlocked(event, 1, (size_t) event_n, stdout);
				fwrite_unlocked(rest->p, 1, rest->n, stdout);
			}
		}
	}
	fprintf(stderr, "%zu rules, %zu events, %zu matches, %zu events refused, %.3f s of CPU\n",
			sl_ruleset_size(l->set), records_seen, matches, bad, (double) (clock() - start) / CLOCKS_PER_SEC);
	free(line);
	sl_arena_free(&arena);
	sl_arena_free(&scratch);
	sl_arena_free(&image);
	if (ferror(file))
	{
		fprintf(stderr, "stacklens-rule: could not read \"%s\": %s\n", events, strerror(errno));
		bad++;
	}
	if (file != stdin)
		fclose(file);
	return l->errors || bad ? 1 : 0;
}

static void
print_node(void *arg, const sl_explained *node)
{
	(void) arg;
	printf("%-5s %*s%.*s", node->result ? "true" : "false", node->depth * 2, "", SL_STR_FMT(node->node));
	if (node->field.p)
		printf(" %.*s", SL_STR_FMT(node->field));
	if (node->op)
		printf(" %s", node->op);
	if (node->expected.p)
		printf(" %.*s", SL_STR_FMT(node->expected));
	if (node->actual.p)
		printf("    (%.*s)", SL_STR_FMT(node->actual));
	putchar('\n');
}

static int
explain(loaded *l, char **paths, size_t n_paths, const char *event)
{
	sl_records records = {0};
	sl_error err;
	char *text;
	size_t n;

	if (n_paths == 0 || !event)
		return usage(stderr, 2);
	for (size_t i = 0; i < n_paths; i++)
		load_path(l, paths[i]);
	if (l->errors || !(text = read_file(l, event, &n)))
		return 2;
	if (!sl_decode(SL_JSON, text, n, &l->arena, &records, &err))
	{
		report(l, event, &err);
		return 2;
	}
	for (size_t i = 0; i < sl_ruleset_size(l->set); i++)
	{
		sl_rule *one = sl_ruleset_rule(l->set, i);

		if (one->kind == SL_CORRELATION)
			continue;
		for (size_t k = 0; k < records.n; k++)
		{
			printf("%.*s:\n", SL_STR_FMT(one->name));
			sl_explain(one, &records.v[k], &l->arena, print_node, NULL);
		}
	}
	return 0;
}

static void
ignore_link(void *arg, sl_rule *rule, const sl_error *err)
{
	(void) arg;
	(void) rule;
	(void) err;
}

/* A file's place in the order in which rules can be imported: what others name comes first. */
static uint32_t
rank_of(const loaded *l, const file_text *file)
{
	uint32_t rank = 0;

	for (size_t i = 0; i < sl_ruleset_size(l->set); i++)
	{
		const sl_rule *rule = l->origins[i].rule;
		uint32_t one = rule->kind == SL_DETECTION ? 0 : rule->kind == SL_FILTER ? UINT32_MAX
													: rule->broken				? UINT32_MAX - 1
																				: rule->correlation->depth;

		if (l->origins[i].path == file->path && one > rank)
			rank = one;
	}
	return rank;
}

static int
by_rank(const void *a, const void *b)
{
	const file_text *x = a,
					*y = b;

	return x->rank < y->rank ? -1 : x->rank > y->rank ? 1
													  : strcmp(x->path, y->path);
}

/* A text between dollar quotes that don't stand in it. */
static void
put_quoted(sl_buf *out, const char *text, size_t n)
{
	char tag[24] = "$rules$";

	for (int k = 0; memmem(text, n, tag, strlen(tag)); k++)
		snprintf(tag, sizeof(tag), "$rules%d$", k);
	sl_buf_puts(out, tag);
	sl_buf_add(out, text, n);
	sl_buf_puts(out, tag);
}

/*
 * The files' texts as calls of import_rules, in one transaction; what is wrong
 * with a rule the server says.
 */
static int
import(loaded *l, char **paths, size_t n)
{
	if (n == 0)
		return usage(stderr, 2);
	l->keep_texts = true;
	for (size_t i = 0; i < n; i++)
		load_path(l, paths[i]);
	sl_ruleset_finish(l->set, ignore_link, NULL);
	for (size_t i = 0; i < l->n_texts; i++)
		l->texts[i].rank = rank_of(l, &l->texts[i]);
	if (l->n_texts > 0)
		qsort(l->texts, l->n_texts, sizeof(file_text), by_rank);
	fputs("\\set ON_ERROR_STOP on\n\\set QUIET on\nBEGIN;\nSET LOCAL client_min_messages = warning;\n"
		  "CREATE TEMPORARY TABLE stacklens_import (origin text, status text, error text, line int, col int) ON COMMIT DROP;\n",
		  stdout);
	for (size_t i = 0; i < l->n_texts; i++)
	{
		sl_arena arena;
		sl_buf sql;

		sl_arena_init(&arena, 0, out_of_memory);
		sl_buf_init(&sql, &arena, l->texts[i].n + 512);
		sl_buf_puts(&sql, "INSERT INTO stacklens_import SELECT ");
		put_quoted(&sql, l->texts[i].path, strlen(l->texts[i].path));
		sl_buf_puts(&sql, ", status, error, line, col FROM stacklens.import_rules(");
		put_quoted(&sql, l->texts[i].text, l->texts[i].n);
		sl_buf_puts(&sql, ", ");
		put_quoted(&sql, l->texts[i].path, strlen(l->texts[i].path));
		sl_buf_puts(&sql, ");\n");
		fwrite(sql.p, 1, sql.n, stdout);
		sl_arena_free(&arena);
	}
	fputs("SELECT format('%s:%s:%s: error: %s', origin, line, col, error) AS rejected FROM stacklens_import"
		  " WHERE status = 'rejected' ORDER BY origin, line;\n"
		  "SELECT status, count(*) FROM stacklens_import GROUP BY status ORDER BY status;\nCOMMIT;\n",
		  stdout);
	return l->errors ? 1 : 0;
}

static int
run(loaded *l, int argc, char **argv)
{
	const char *events = NULL;
	char **paths = sl_alloc(&l->arena, (size_t) (argc + 1) * sizeof(char *));
	size_t n = 0;
	bool logsource = true;

	l->report = argc >= 2 && strcmp(argv[1], "check") == 0 ? stdout : stderr;
	if (argc >= 2 && strcmp(argv[1], "--help") == 0)
		return usage(stdout, 0);
	for (int i = 2; i < argc; i++)
	{
		if ((strcmp(argv[i], "--rules") == 0 || strcmp(argv[i], "--rule") == 0) && i + 1 < argc)
			paths[n++] = argv[++i];
		else if ((strcmp(argv[i], "--events") == 0 || strcmp(argv[i], "--event") == 0) && i + 1 < argc)
			events = argv[++i];
		else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc && strcmp(argv[i + 1], "1") == 0)
			i++;
		else if (strcmp(argv[i], "--no-logsource") == 0)
			logsource = false;
		else if (strcmp(argv[i], "--placeholders") == 0 && i + 1 < argc)
		{
			if (!load_placeholders(l, argv[++i]))
				return 2;
		}
		else if (argv[i][0] == '-' && argv[i][1])
			return usage(stderr, 2);
		else
			paths[n++] = argv[i];
	}
	if (logsource)
		sl_definitions_add_builtin(l->definitions);
	if (argc >= 2 && strcmp(argv[1], "check") == 0)
		return check(l, paths, n);
	if (argc >= 2 && strcmp(argv[1], "import") == 0)
		return import(l, paths, n);
	if (argc >= 2 && strcmp(argv[1], "eval") == 0)
		return eval(l, paths, n, events);
	if (argc >= 2 && strcmp(argv[1], "explain") == 0)
		return explain(l, paths, n, events);
	return usage(stderr, 2);
}

int
main(int argc, char **argv)
{
	loaded l = {0};
	int status;

	sl_arena_init(&l.arena, 0, out_of_memory);
	l.definitions = sl_definitions_new(&l.arena);
	l.set = sl_ruleset_new(&l.arena);
	status = run(&l, argc, argv);
	sl_arena_free(&l.arena);
	if (fflush(stdout) != 0 || ferror(stdout))
	{
		fprintf(stderr, "stacklens-rule: could not write: %s\n", strerror(errno));
		return 2;
	}
	return status;
}
