// One alert: everything known about it, and the two things an operator does to it.

import { $, absolute, announce, copyFrom, el, number, relative, setText, showProblem, shorten, visible } from './format.js';
import { alertPath, get, post } from './api.js';

const panel = $('#detail'), title = $('#detail-title'), note = $('#note');
const buttons = [$('#acknowledge'), $('#resolve')];
let current = null, shown = null, inFlight = false;

export const openId = () => current;

const when = at => at && `${relative(at)} · ${absolute(at)}`;
const byAt = (by, at) => (by || at) && [by, when(at)].filter(Boolean).join(', ');

// Patches a <dl> in place, key by key, so that a live update doesn't take a selection away.
function drawPairs(dl, pairs) {
  const kept = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  const keys = kept.map(([key]) => key).join('\n');
  if (dl.dataset.keys !== keys) {
    dl.dataset.keys = keys;
    dl.replaceChildren(...kept.flatMap(([key]) => [el('dt', { textContent: visible(key) }), el('dd')]));
  }
  kept.forEach(([, value], i) => {
    const dd = dl.children[2 * i + 1];
    if (!(value instanceof Node)) setText(dd, visible(value));
    else if (dd.textContent !== value.textContent) dd.replaceChildren(value);
  });
  return kept.length;
}

export function draw(alert) {
  if (alert.id !== current) return;
  shown = alert;
  panel.dataset.severity = alert.severity;
  panel.dataset.status = alert.status;
  setText($('.badge', panel), alert.severity);
  setText($('.status', panel), alert.status + (alert.silenced ? ', silenced' : ''));
  setText(title, visible(alert.issue_code));
  setText($('#detail-message'), visible(alert.message));
  drawPairs($('#fields'), [
    ['service', alert.service],
    ['rule', alert.rule],
    ['count', number(alert.count)],
    ['first seen', when(alert.first_seen)],
    ['last seen', when(alert.last_seen)],
    ['created', when(alert.created_at)],
    ['assignee', alert.assignee],
    ['acknowledged', byAt(alert.acknowledged_by, alert.acknowledged_at)],
    ['resolved', byAt(alert.resolved_by, alert.resolved_at)],
    ['Jira issue', alert.jira_issue_key],
    ['previous alert', alert.previous_id && el('a', { href: '#alert=' + encodeURIComponent(alert.previous_id), textContent: alert.previous_id })],
    ['fingerprint', alert.fingerprint],
  ]);
  $('#labels-part').hidden = !drawPairs($('#labels'), Object.entries(alert.labels ?? {}));
  $('#groups-part').hidden = !drawPairs($('#groups'), Object.entries(alert.group_values ?? {}));
  $('#actions').hidden = alert.status === 'resolved';
  $('#acknowledge').hidden = alert.status !== 'open';
}

const KNOWN = ['timestamp', 'level', 'service', 'message', 'error_code', 'trace_id', 'span_id', 'request_id'];

const NEIGHBOURS = 50;

function drawRecord({ at, record }, opened, titles) {
  const table = el('table');
  for (const name of KNOWN) {
    const value = record?.[name];
    if (value === undefined || value === null || value === '') continue;
    table.append(el('tr', {}, el('th', { scope: 'row', textContent: name }), el('td', { textContent: visible(value) })));
  }
  const sample = el('details', { className: 'sample', open: opened },
    el('summary', {},
      el('time', { dateTime: at ?? '', textContent: absolute(at) }),
      ' ', el('span', { textContent: visible([...titles.map(name => record?.[name]), shorten(record?.message, 120)].filter(Boolean).join('  ')) })),
    table);
  // The whole record is written when it is first looked at: twenty samples of 64 kB cost nothing closed.
  const json = el('pre', { tabIndex: 0 });
  json.setAttribute('aria-label', 'Whole record as JSON');
  const fillJson = () => { if (sample.open && !json.firstChild) json.textContent = visible(JSON.stringify(record, null, 2)); };
  sample.addEventListener('toggle', fillJson);
  sample.append(json);
  fillJson();
  return sample;
}

export async function open(id, known) {
  current = id;
  shown = null;
  inFlight = false;
  for (const button of buttons) button.disabled = false;
  note.value = '';
  showProblem($('#detail-problem'), null);
  for (const part of ['#fields', '#labels', '#groups', '#samples', '#logs']) { $(part).replaceChildren(); delete $(part).dataset.keys; }
  for (const part of ['#actions', '#labels-part', '#groups-part']) $(part).hidden = true;
  delete panel.dataset.severity;
  for (const node of [$('.badge', panel), $('.status', panel), $('#detail-message')]) node.textContent = '';
  title.textContent = 'Alert';
  setText($('#detail-id'), visible(id));
  $('#samples-part').hidden = false;
  setText($('#samples-note'), 'Loading…');
  $('#logs-part').hidden = true;
  panel.hidden = false;
  panel.scrollTop = 0;
  if (known) draw(known);      // at once, from the list; the samples follow
  title.focus({ preventScroll: true });
  const before = shown;
  try {
    const alert = await get(alertPath(id));
    if (id !== current) return;
    draw(shown === before ? alert : shown);      // else the feed has been here meanwhile
    const samples = alert.samples ?? [];
    setText($('#samples-note'), samples.length ? '' : 'None is kept for this alert.');
    $('#samples').replaceChildren(...samples.map((sample, index) => drawRecord(sample, index === 0, ['level'])));
    const logs = await get(alertPath(id, 'logs') + '?limit=' + NEIGHBOURS);
    if (id !== current) return;
    $('#logs-part').hidden = logs.length === 0;
    setText($('#logs-note'), logs.length < NEIGHBOURS ? '' : `The first ${NEIGHBOURS}: of its traces, its requests, then of its service at the time.`);
    $('#logs').replaceChildren(...logs.map(log => drawRecord({ at: log.timestamp, record: log }, false, ['service', 'level'])));
  } catch (problem) {
    if (id !== current) return;
    $('#samples-part').hidden = true;
    showProblem($('#detail-problem'), problem);
  }
}

export function close() {
  current = null;
  panel.hidden = true;
}

async function act(action, done, onAlert) {
  if (inFlight) return;
  const id = current;
  inFlight = true;
  for (const button of buttons) button.disabled = true;
  showProblem($('#detail-problem'), null);
  try {
    const alert = await post(alertPath(id, action), { note: note.value.trim() });
    onAlert(alert);
    announce(`Alert ${done}`);
    if (id === current) { note.value = ''; title.focus({ preventScroll: true }); }
  } catch (problem) {
    if (id === current) showProblem($('#detail-problem'), problem);
  }
  if (id !== current) return;     // another alert's buttons now
  inFlight = false;
  for (const button of buttons) button.disabled = false;
}

export function startDetail({ onAlert, onClose }) {
  setInterval(() => { if (shown && current) draw(shown); }, 10_000);     // relative times
  $('#acknowledge').addEventListener('click', () => act('acknowledge', 'acknowledged', onAlert));
  $('#resolve').addEventListener('click', () => act('resolve', 'resolved', onAlert));
  $('#copy-id').addEventListener('click', event => copyFrom($('#detail-id'), event.target));
  $('#close').addEventListener('click', onClose);
}
