// What is shown. The filter lives in the query (so a link can be shared), the open alert in the fragment (so
// that rows are plain links and Back closes the panel).

import { $, SEVERITIES } from './format.js';

const STATUSES = ['active', 'open', 'acknowledged', 'resolved', 'all'];
const chips = [...document.querySelectorAll('[data-filter-severity]')];
const filter = { severities: new Set(), status: 'active', text: '' };

export function matches({ alert, words }) {
  return (filter.severities.size === 0 || filter.severities.has(alert.severity))
    && (filter.status === 'all' || (filter.status === 'active' ? alert.status !== 'resolved' : alert.status === filter.status))
    && words.includes(filter.text.trim().toLowerCase());
}

export const isDefault = () => filter.severities.size === 0 && filter.status === 'active' && filter.text.trim() === '';

function fromUrl() {
  const query = new URLSearchParams(location.search);
  const severities = (query.get('severity') ?? '').split(',').filter(s => SEVERITIES.includes(s));
  filter.severities = new Set(severities);
  filter.status = STATUSES.includes(query.get('status')) ? query.get('status') : 'active';
  filter.text = query.get('q') ?? '';
}

function toUrl() {
  const query = new URLSearchParams();
  if (filter.severities.size) query.set('severity', SEVERITIES.filter(s => filter.severities.has(s)).join(','));
  if (filter.status !== 'active') query.set('status', filter.status);
  if (filter.text.trim()) query.set('q', filter.text.trim());
  const search = query.toString().replaceAll('%2C', ',');
  history.replaceState(null, '', location.pathname + (search && '?' + search) + location.hash);
}

function toControls() {
  for (const chip of chips)
    chip.setAttribute('aria-pressed', filter.severities.has(chip.dataset.filterSeverity));
  $('#filter-status').value = filter.status;
  if ($('#filter-text').value !== filter.text) $('#filter-text').value = filter.text;
}

export function startFilter(onChange) {
  let urlTimer;
  const changed = () => {
    toControls();
    clearTimeout(urlTimer);
    urlTimer = setTimeout(toUrl, 150);    // browsers limit how often a page may rewrite its address
    onChange();
  };
  for (const chip of chips) chip.addEventListener('click', () => {
    const severity = chip.dataset.filterSeverity;
    if (!filter.severities.delete(severity)) filter.severities.add(severity);
    changed();
  });
  $('#filter-status').addEventListener('change', event => { filter.status = event.target.value; changed(); });
  $('#filter-text').addEventListener('input', event => { filter.text = event.target.value; changed(); });
  $('#filter').addEventListener('submit', event => event.preventDefault());
  $('#clear-filter').addEventListener('click', () => {
    Object.assign(filter, { severities: new Set(), status: 'all', text: '' });
    changed();
    $('#filter-text').focus();
  });
  addEventListener('popstate', () => { fromUrl(); toControls(); onChange(); });
  fromUrl();
  toControls();
}
