// The rules, to read. They are changed in psql (create_rule, enable_rule, …) and by files.

import { $, el, plural, showProblem, visible } from './format.js';
import { get } from './api.js';

function drawRule(rule) {
  const badge = el('span', { className: 'badge', textContent: visible(rule.severity ?? '–') });
  const name = el('th', { scope: 'row' }, el('span', { className: 'code', textContent: visible(rule.name) }));
  if (rule.title && rule.title !== rule.name) name.append(el('span', { className: 'muted', textContent: visible(rule.title) }));
  if (rule.error) name.append(el('span', { className: 'rule-error', textContent: 'error: ' + visible(rule.error) }));
  const tr = el('tr', {}, name, el('td', {}, badge),
    el('td', { textContent: rule.enabled ? 'enabled' : 'disabled' }),
    el('td', { className: 'code', textContent: visible(rule.issue_code ?? '–') }));
  tr.dataset.severity = rule.severity ?? '';
  tr.dataset.enabled = rule.enabled;
  return tr;
}

export async function showRules() {
  const table = $('#rules-pane table'), note = $('#rules-note');
  if (table.hidden) note.textContent = 'Loading…';
  try {
    const rules = await get('admin/rules');
    showProblem($('#rules-problem'), null);
    const broken = rules.filter(rule => rule.error).length;
    $('#rules').replaceChildren(...rules.map(drawRule));
    table.hidden = rules.length === 0;
    note.textContent = rules.length === 0
      ? "No rules yet. In psql: SELECT stacklens.create_rule('PRICE_MISSING', match => '{\"error_code\": \"PRICE_MISSING\"}', severity => 'high');"
      : `${plural(rules.length, 'rule')}, ${rules.filter(rule => rule.enabled).length} enabled${broken ? `, ${broken} with an error` : ''}.`;
  } catch (problem) {
    note.textContent = '';
    showProblem($('#rules-problem'), problem);
  }
}
