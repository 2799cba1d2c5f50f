// Wires the parts together: feed → store → list and header; address → panel and views; keys.

import { $, announce, number, SEVERITIES, copyFrom, setText, showProblem } from './format.js';
import { getAlerts } from './api.js';
import { startFeed } from './feed.js';
import { startFilter } from './filter.js';
import * as store from './store.js';
import * as list from './alerts.js';
import * as detail from './detail.js';
import { showRules } from './rules.js';

function drawHeader() {
  const { open, status } = store.tally();
  for (const severity of SEVERITIES) {
    const chip = $(`[data-filter-severity="${severity}"]`);
    setText($('b', chip), number(open[severity]));
    chip.dataset.count = open[severity];
  }
  setText($('#totals'), `${number(status.open)} open · ${number(status.acknowledged)} acknowledged`);
  document.title = status.open ? `(${status.open}) StackLens` : 'StackLens';
}

let headerTimer = 0;
function changed() {
  headerTimer ||= setTimeout(() => { headerTimer = 0; drawHeader(); }, 80);
}

function refreshDetail(id) {
  const alert = store.find(id);
  if (alert) detail.draw(alert);
}

// The address says what is open: #alert=ID, #rules, or nothing. Everything else follows from it.
const narrow = matchMedia('(max-width: 1159px)');

function route() {
  const target = new URLSearchParams(location.hash.slice(1));
  const id = target.get('alert'), rules = target.has('rules') && !id;
  $('#list-pane').hidden = $('#filter').hidden = rules;
  $('#rules-pane').hidden = !rules;
  $('#nav-alerts').setAttribute('aria-current', rules ? 'false' : 'page');
  $('#nav-rules').setAttribute('aria-current', rules ? 'page' : 'false');
  if (rules) showRules();
  const was = detail.openId();
  list.select(id);
  if (id && id !== was) detail.open(id, store.find(id));
  else if (!id && was) {
    detail.close();
    if (!rules) requestAnimationFrame(() => list.focusRow(was));
  }
  cover();
}

// A panel that covers the page takes the rest out of the tab order; beside the list it doesn't.
function cover() {
  const covered = narrow.matches && detail.openId() !== null;
  for (const part of ['#top', '#list-pane']) $(part).inert = covered;
  document.body.toggleAttribute('data-detail', detail.openId() !== null);
}

function closeDetail() {
  history.pushState(null, '', location.pathname + location.search);   // location.hash = '' would leave a "#"
  route();
}

// What lies beside the covering panel is inert, so a click there reaches only the document.
addEventListener('click', event => {
  if (narrow.matches && detail.openId() && [document.body, document.documentElement, $('main')].includes(event.target)) closeDetail();
});
addEventListener('hashchange', route);
addEventListener('popstate', route);
narrow.addEventListener('change', cover);
$('#nav-alerts').addEventListener('click', event => { event.preventDefault(); closeDetail(); });

addEventListener('keydown', event => {
  const typing = event.target.matches?.('input, select, textarea');
  if (event.key === 'Escape' && detail.openId() && !(event.target.id === 'filter-text' && event.target.value)) {
    event.preventDefault();
    closeDetail();
  } else if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !$('#top').inert && !$('#filter').hidden) {
    event.preventDefault();
    $('#filter-text').focus();
  }
});

$('#try').textContent = `curl -X POST ${location.origin}/api/ingest/log -H "Content-Type: application/json" -d '`
  + JSON.stringify({ timestamp: '2025-01-15T10:30:45.123Z', service: 'order-service', level: 'error', message: 'Price is missing', error_code: 'PRICE_MISSING', action: 'create_order' }) + "'";
$('#copy-try').addEventListener('click', event => copyFrom($('#try'), event.target));

startFilter(list.redrawNow);
detail.startDetail({
  onAlert(alert) {
    store.put(alert);
    refreshDetail(alert.id);
    list.redraw();
    changed();
  },
  onClose: closeDetail,
});
route();

const connection = $('#connection');
let told = 'live';
startFeed({
  load: getAlerts,
  replace(alerts) {
    store.replaceAll(alerts);
    refreshDetail(detail.openId());
    list.setReady();
    drawHeader();
  },
  apply(changes) {
    list.applyChanges(changes);
    if (changes.some(({ alert }) => alert.id === detail.openId())) refreshDetail(detail.openId());
    changed();
  },
  onState(state, seconds) {
    connection.dataset.state = state;
    if (state !== 'connecting' && state !== told) {      // the countdown itself is not read out
      told = state;
      announce(state === 'live' ? 'Connection is live again' : 'Connection lost, retrying');
    }
    setText(connection, { live: 'live', connecting: 'connecting…', offline: `offline, retrying in ${seconds} s` }[state]);
  },
  // A cut line is told by the connection's state alone: no banner that moves the list.
  onProblem(problem) {
    if (!problem || problem.status || store.size() === 0) showProblem($('#load-problem'), problem);
  },
});
