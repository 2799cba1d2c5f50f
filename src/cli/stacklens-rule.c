/*
 * stacklens-rule.c
 *	  Checks and runs rules without a server, with the extension's own code.
 *
 *		stacklens-rule check PATH...
 *		stacklens-rule eval --rules PATH --events FILE|-
 *
 * Folders are walked for .yml, .yaml and .json files, in order of name.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif

#include "../core/decode/decode.h"
#include "../core/match/ruleset.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

typedef struct loaded
{
	sl_arena arena;
	sl_ruleset *set;
	size_t files;
	size_t rules;
	size_t errors;
} loaded;

static void
out_of_memory(sl_arena *arena, size_t wanted)
{
	(void) arena;
	fprintf(stderr, "stacklens-rule: out of memory (%zu bytes wanted)\n", wanted);
	exit(2);
}

static void
report(loaded *l, const char *path, const sl_error *err)
{
	l->errors++;
	fprintf(stdout, "%s:%d:%d: error: %s\n", path, err->line ? err->line : 1, err->col ? err->col : 1,
			err->message);
	if (err->detail[0])
		fprintf(stdout, "    %s\n", err->detail);
	if (err->hint[0])
		fprintf(stdout, "    hint: %s\n", err->hint);
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
load_file(loaded *l, const char *path)
{
	FILE *file = fopen(path, "rb");
	sl_documents documents = {0},
				 rules = {0};
	sl_error err;
	size_t n;
	char *text;

	if (!file)
	{
		fprintf(stderr, "stacklens-rule: could not open \"%s\": %s\n", path, strerror(errno));
		l->errors++;
		return;
	}
	errno = 0;
	text = read_all(&l->arena, file, &n);
	if (ferror(file))
	{
		fprintf(stderr, "stacklens-rule: could not read \"%s\": %s\n", path, strerror(errno));
		fclose(file);
		l->errors++;
		return;
	}
	fclose(file);
	l->files++;
	if (!sl_read_documents(text, n, &l->arena, &documents, &err))
		report(l, path, &err);
	for (size_t i = 0; i < documents.n; i++)
		sl_rule_documents(documents.v[i], &l->arena, &rules);
	for (size_t i = 0; i < rules.n; i++)
	{
		sl_rule *rule = sl_rule_read(rules.v[i], &l->arena, &err);

		if (!rule)
		{
			report(l, path, &err);
			continue;
		}
		sl_ruleset_add(l->set, rule);
		l->rules++;
	}
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
	fputs("usage: stacklens-rule check PATH...\n"
		  "       stacklens-rule eval --rules PATH --events FILE|- [--no-logsource] [--threads 1]\n"
		  "\n"
		  "check reads rule files (folders are walked) and prints each error as\n"
		  "file:line:column: error: ...; it exits with 1 if there was one.\n"
		  "eval runs the rules on events, one JSON object a line, and prints a line of\n"
		  "JSON for each match; a summary goes to standard error.\n",
		  out);
	return status;
}

static int
check(loaded *l, int argc, char **argv)
{
	if (argc == 0)
		return usage(stderr, 2);
	for (int i = 0; i < argc; i++)
		load_path(l, argv[i]);
	fprintf(stderr, "%zu rules in %zu files, %zu errors\n", l->rules, l->files, l->errors);
	return l->errors ? 1 : 0;
}

static int
eval(loaded *l, int argc, char **argv)
{
	const char *events = NULL;
	bool rules = false;
	FILE *file;
	sl_arena arena,
		scratch;
	sl_matcher *matcher;
	char *line = NULL;
	size_t cap = 0,
		   number = 0,
		   records_seen = 0,
		   matches = 0,
		   bad = 0;
	ssize_t n;
	clock_t start;

	for (int i = 0; i < argc; i++)
	{
		if (strcmp(argv[i], "--rules") == 0 && i + 1 < argc)
		{
			load_path(l, argv[++i]);
			rules = true;
		}
		else if (strcmp(argv[i], "--events") == 0 && i + 1 < argc)
			events = argv[++i];
		else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc && strcmp(argv[i + 1], "1") == 0)
			i++; /* one is all there is */
		else if (strcmp(argv[i], "--no-logsource") != 0)
			return usage(stderr, 2);
	}
	if (!events || !rules)
		return usage(stderr, 2);
	file = strcmp(events, "-") == 0 ? stdin : fopen(events, "rb");
	if (!file)
	{
		fprintf(stderr, "stacklens-rule: could not open \"%s\": %s\n", events, strerror(errno));
		return 2;
	}
	sl_ruleset_finish(l->set);
	matcher = sl_matcher_new(&l->arena, l->set);
	sl_arena_init(&arena, 0, out_of_memory);
	sl_arena_init(&scratch, 0, out_of_memory);
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

			sl_arena_reset(&scratch);
			n_found = sl_match(matcher, &records.v[i], &scratch, &found);
			records_seen++;
			matches += n_found;
			for (size_t k = 0; k < n_found; k++)
			{
				const sl_rule *rule = sl_ruleset_rule(l->set, found[k]);
				sl_buf out;

				sl_buf_init(&out, &scratch, 256);
				sl_buf_printf(&out, "{\"event\":%zu,\"rule_id\":", number);
				sl_buf_json_string(&out, rule->id.p ? rule->id : rule->name);
				sl_buf_puts(&out, ",\"rule\":");
				sl_buf_json_string(&out, rule->name);
				sl_buf_printf(&out, ",\"severity\":\"%s\"}\n", sl_severity_name[rule->severity]);
				fwrite(out.p, 1, out.n, stdout);
			}
		}
	}
	fprintf(stderr, "%zu rules, %zu events, %zu matches, %zu events refused, %.3f s of CPU\n",
			l->rules, records_seen, matches, bad, (double) (clock() - start) / CLOCKS_PER_SEC);
	free(line);
	sl_arena_free(&arena);
	sl_arena_free(&scratch);
	if (ferror(file))
	{
		fprintf(stderr, "stacklens-rule: could not read \"%s\": %s\n", events, strerror(errno));
		bad++;
	}
	if (file != stdin)
		fclose(file);
	return l->errors || bad ? 1 : 0;
}

static int
run(loaded *l, int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "check") == 0)
		return check(l, argc - 2, argv + 2);
	if (argc >= 2 && strcmp(argv[1], "eval") == 0)
		return eval(l, argc - 2, argv + 2);
	if (argc >= 2 && strcmp(argv[1], "--help") == 0)
		return usage(stdout, 0);
	return usage(stderr, 2);
}

int
main(int argc, char **argv)
{
	loaded l = {0};
	int status;

	sl_arena_init(&l.arena, 0, out_of_memory);
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
