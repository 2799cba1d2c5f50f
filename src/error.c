/*
 * error.c
 *	  The one place where core's errors and memory become the server's.
 */
#include "stacklens.h"

int
sl_sqlstate(const sl_error *err)
{
	const char *s = err->sqlstate;

	return MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4]);
}

void
sl_ereport(const sl_error *err)
{
	ereport(ERROR,
			(errcode(sl_sqlstate(err)),
			 errmsg("%s", err->message),
			 err->detail[0] ? errdetail("%s", err->detail) : 0,
			 err->hint[0] ? errhint("%s", err->hint) : 0));
	pg_unreachable();
}

static void
out_of_memory(sl_arena *arena, size_t wanted)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("data needs more memory than stacklens.work_mem allows"),
			 errdetail("%zu bytes are held, %zu more were wanted.", arena->held, wanted),
			 errhint("Raise stacklens.work_mem, or send smaller messages.")));
}

void
sl_server_arena(sl_arena *arena)
{
	if (arena->out_of_memory)
		sl_arena_reset(arena);
	else
		sl_arena_init(arena, 0, out_of_memory);
	arena->limit = (size_t) sl_work_mem * 1024;
}

sl_error
sl_error_from(sl_arena *arena, const ErrorData *error)
{
	sl_error err = {0};

	sl_fail(&err, "", "%s", error->message);
	err.sqlstate = sl_str_copy(arena, unpack_sql_state(error->sqlerrcode), 5).p;
	return err;
}

bool
sl_is_data_error(int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_DATA_EXCEPTION || category == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}
