/*
 * logsources.h
 *	  The built-in rows of stacklens.logsources.
 */
#ifndef SL_LOGSOURCES_H
#define SL_LOGSOURCES_H

#include <stddef.h>

/* Rules whose log source has each of the columns (NULL: any) ask this, too. */
typedef struct sl_logsource
{
	const char *category;
	const char *product;
	const char *service;
	const char *detection; /* a selection, as JSON */
} sl_logsource;

extern const sl_logsource sl_logsources[];
extern const size_t sl_n_logsources;

#endif /* SL_LOGSOURCES_H */
