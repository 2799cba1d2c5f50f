// The list. Rows are kept and patched, never rebuilt: focus, selection and scroll survive a burst.

import { $, announce, number, plural, setText, setTime, shorten, visible } from './format.js';
import { isDefault, matches } from './filter.js';
import * as store from './store.js';

const SHOWN = 500;
const pane = $('#list-pane'), list = $('#alerts'), newer = $('#newer');
const template = $('#row-template').content.firstElementChild;
const rows = new Map();           // alert id → { li, link, alert }
let selected = null, ready = false;
let timer = 0, movedAt = 0, arrangedAt = 0, unseen = 0;

// Many changes, one drawing. Timers and not animation frames: the title must follow in a hidden tab too.
export function redraw(wait = 80) {
  timer ||= setTimeout(() => { timer = 0; draw(); }, wait);
}

export function redrawNow() {
  clearTimeout(timer);
  timer = movedAt = 0;
  draw();
}

export function setReady() {
  ready = true;
  redrawNow();
}

function draw() {
  const fitting = store.newestFirst().filter(matches);
  const shown = fitting.slice(0, SHOWN);
  const now = Date.now();

  // While the pointer is on its way to a row, rows don't come and go beneath it (3 seconds at most).
  if (now - movedAt < 400 && now - arrangedAt < 3000) {
    for (const entry of shown) if (rows.has(entry.alert.id)) fill(rows.get(entry.alert.id), entry.alert);
    redraw(200);
    return;
  }
  arrangedAt = now;

  const wanted = new Set(shown.map(entry => entry.alert.id));
  const focused = document.activeElement.closest?.('#alerts > li');
  const heir = focused && nextOf(focused, wanted);
  const anchor = pane.scrollTop > 40 ? nextOf(topRow(), wanted) : null;
  const anchorAt = anchor?.offsetTop;
  for (const [id, row] of rows) if (!wanted.has(id)) { row.li.remove(); rows.delete(id); }

  let next = list.firstElementChild, arrived = 0;
  for (const entry of shown) {
    let row = rows.get(entry.alert.id);
    if (!row) {
      row = newRow(entry.alert.id);
      if (now - entry.openedAt < 5000) { row.li.classList.add('fresh'); arrived++; }
    }
    fill(row, entry.alert);
    if (row.li === next) next = next.nextElementSibling;
    else list.insertBefore(row.li, next);
  }
  if (focused && !focused.isConnected)
    ((heir ?? list.firstElementChild)?.firstElementChild ?? $('#filter-text')).focus({ preventScroll: true });
  if (!list.querySelector('a[tabindex="0"]')) list.querySelector('a')?.setAttribute('tabindex', '0');

  // When scrolled down the rows in sight stay where they are (browsers' own anchoring gives up on
  // content-visibility), so news above must be told.
  if (anchor) pane.scrollTop += anchor.offsetTop - anchorAt;
  unseen = pane.scrollTop > 40 ? unseen + arrived : 0;
  drawNewer();
  drawEmpty(fitting.length);
}

// Rows are equally high.
const topRow = () => list.children[Math.max(0, Math.ceil((pane.scrollTop - list.offsetTop) / list.firstElementChild?.offsetHeight))];

// This row or the next that stays.
function nextOf(li, wanted) {
  while (li && !wanted.has(li.dataset.alertId)) li = li.nextElementSibling;
  return li;
}

function newRow(id) {
  const li = template.cloneNode(true);
  const link = li.firstElementChild;
  li.dataset.alertId = id;
  link.href = '#alert=' + encodeURIComponent(id);
  const row = { li, link, alert: null };
  for (const name of ['badge', 'code', 'message', 'service', 'count', 'status']) row[name] = $('.' + name, li);
  for (const name of ['first', 'last']) row[name] = $(`.${name} time`, li);
  if (id === selected) link.setAttribute('aria-current', 'true');
  rows.set(id, row);
  return row;
}

function fill(row, alert) {
  if (row.alert === alert) return;
  const before = row.alert;
  row.alert = alert;
  row.li.dataset.severity = alert.severity;
  row.li.dataset.status = alert.status;
  setText(row.badge, alert.severity);
  setText(row.code, visible(shorten(alert.issue_code, 100)));
  setText(row.message, visible(shorten(alert.message, 250)));
  setText(row.service, visible(shorten(alert.service || '–', 60)));
  setText(row.count, '×' + number(alert.count));
  setText(row.status, alert.status + (alert.silenced ? ', silenced' : ''));
  setTime(row.first, alert.first_seen);
  setTime(row.last, alert.last_seen);
  if (before && before.count !== alert.count)
    row.count.animate([{ backgroundColor: 'var(--fresh)' }, { backgroundColor: 'transparent' }], 1500);
}

function drawNewer() {
  newer.hidden = unseen === 0;
  setText(newer, `↑ ${plural(unseen, 'new alert')}`);
}

function drawEmpty(fitting) {
  $('#loading').hidden = ready;
  $('#more').hidden = fitting <= SHOWN;
  setText($('#more'), `${number(fitting - SHOWN)} more. Narrow the filter to see them.`);
  $('.columns').hidden = fitting === 0;
  $('#empty-new').hidden = !ready || store.size() > 0;
  const empty = $('#empty-filter');
  empty.hidden = !ready || fitting > 0 || store.size() === 0;
  setText($('h2', empty), isDefault() ? 'All quiet: nothing is open' : 'No alert matches the filter');
  setText($('p', empty), isDefault() ? 'New alerts appear here by themselves.' : `${plural(store.size(), 'alert')} known in all.`);
}

// Change of one alert: what was opened just now is marked, and told in one sentence however many there are.
let opened = [], tellTimer = 0;
export function applyChanges(changes) {
  for (const { change, alert } of changes) {
    const { entry, isNew } = store.put(alert, change === 'opened' ? Date.now() : 0);
    if (change === 'opened' && isNew && matches(entry)) opened.push(alert);
  }
  if (opened.length) tellTimer ||= setTimeout(tell, 700);
  redraw();
}

function tell() {
  const critical = opened.filter(a => a.severity === 'critical').length;
  const [first] = opened;
  announce(opened.length > 1
    ? `${plural(opened.length, 'new alert')}${critical ? `, ${critical} critical` : ''}`
    : `New ${first.severity} alert: ${visible(shorten(first.issue_code, 80))}, ${visible(shorten(first.service, 60))}`);
  opened = [];
  tellTimer = 0;
}

export function select(id) {
  rows.get(selected)?.link.removeAttribute('aria-current');
  selected = id;
  rows.get(id)?.link.setAttribute('aria-current', 'true');
}

export function focusRow(id) {
  (rows.get(id)?.link ?? list.querySelector('a[tabindex="0"]') ?? $('#filter-text')).focus();
}

// One tab stop for the whole list; arrows, Home and End move within it, Enter follows the link.
list.addEventListener('focusin', event => {
  list.querySelector('a[tabindex="0"]')?.setAttribute('tabindex', '-1');
  event.target.setAttribute('tabindex', '0');
});
list.addEventListener('keydown', event => {
  const li = event.target.closest('li');
  const to = { ArrowDown: li?.nextElementSibling, ArrowUp: li?.previousElementSibling, Home: list.firstElementChild, End: list.lastElementChild }[event.key];
  if (!to || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  to.firstElementChild.focus();
});
list.addEventListener('pointermove', () => { movedAt = Date.now(); });
pane.addEventListener('scroll', () => { if (unseen && pane.scrollTop <= 40) { unseen = 0; drawNewer(); } });
newer.addEventListener('click', () => { pane.scrollTop = 0; list.querySelector('a')?.focus({ preventScroll: true }); });
setInterval(() => {
  for (const row of rows.values()) { setTime(row.first, row.alert.first_seen); setTime(row.last, row.alert.last_seen); }
}, 5000);
