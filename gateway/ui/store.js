// The alerts that this page knows, by id. An entry carries what sorting and searching need, computed once.

import { SEVERITIES } from './format.js';

const KEEP = 6000;    // a tab left open for weeks must not grow: beyond this, the oldest resolved ones go
const entries = new Map();

export function put(alert, openedAt = 0) {
  const known = entries.get(alert.id);
  const entry = {
    alert,
    created: Date.parse(alert.created_at) || 0,
    words: [alert.message, alert.issue_code, alert.service, alert.rule].join('\n').toLowerCase(),
    openedAt: known ? known.openedAt : openedAt,
  };
  entries.set(alert.id, entry);
  return { entry, isNew: !known };
}

export function replaceAll(list) {
  entries.clear();
  for (const alert of list) put(alert);
}

export const find = id => entries.get(id)?.alert;
export const size = () => entries.size;

// Newest first, and always the same order for the same set. Rows don't move when their counts do.
export function newestFirst() {
  const sorted = [...entries.values()].sort((a, b) => b.created - a.created || (a.alert.id < b.alert.id ? 1 : -1));
  for (let i = sorted.length - 1; i >= 0 && entries.size > KEEP; i--)
    if (sorted[i].alert.status === 'resolved') entries.delete(sorted[i].alert.id);
  return sorted;
}

export function tally() {
  const open = Object.fromEntries(SEVERITIES.map(s => [s, 0]));
  const status = { open: 0, acknowledged: 0, resolved: 0 };
  for (const { alert } of entries.values()) {
    status[alert.status]++;
    if (alert.status === 'open') open[alert.severity]++;
  }
  return { open, status };
}
