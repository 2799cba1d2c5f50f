// Text, time and the few DOM helpers that every other module uses.

export const SEVERITIES = ['critical', 'high', 'medium', 'low', 'informational'];

export const $ = (selector, within = document) => within.querySelector(selector);

// Log text is untrusted. It only ever becomes textContent, so it can't become markup; but bidi overrides,
// zero-width characters and terminal escapes could still make a message read as something it isn't. They are
// shown as escapes. (Joiners stay: emoji and many scripts need them.)
const DECEPTIVE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u200b\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function visible(value) {
  const text = typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? '');
  return text.replace(DECEPTIVE, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

// The first n characters, without cutting a surrogate pair in half.
export const shorten = (value, n) => {
  const text = String(value ?? '');
  return text.length <= n ? text : text.slice(0, n).replace(/[\ud800-\udbff]$/, '') + '…';
};

export const number = n => Number(n).toLocaleString('en').replaceAll(',', '\u202f');

export const plural = (n, one, many = one + 's') => `${number(n)} ${n === 1 ? one : many}`;

export function relative(when, now = Date.now()) {
  const s = Math.max(0, (now - Date.parse(when)) / 1000);
  if (Number.isNaN(s)) return '–';
  if (s < 10) return 'just now';
  if (s < 60) return `${Math.floor(s / 10) * 10} s ago`;   // steps of ten: nobody needs a twitching clock
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h ago`;
  return `${number(Math.floor(s / 86400))} d ago`;
}

// Local time with its offset, to the second: what is compared with a colleague's clock or a graph.
export function absolute(when) {
  const d = new Date(when);
  if (Number.isNaN(d.getTime())) return '–';
  const offset = -d.getTimezoneOffset();
  const two = n => String(Math.trunc(Math.abs(n))).padStart(2, '0');
  const local = new Date(d.getTime() + offset * 60_000).toISOString();
  return `${local.slice(0, 10)} ${local.slice(11, 19)} ${offset < 0 ? '−' : '+'}${two(offset / 60)}:${two(offset % 60)}`;
}

// Write only what differs: a selection, a screen reader and the layout are left in peace.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setTime(node, when) {
  if (node.dateTime !== (when ?? '')) {
    node.dateTime = when ?? '';
    node.title = when ? absolute(when) : '';
  }
  setText(node, relative(when));
}

export function el(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

export function showProblem(node, problem) {
  node.hidden = !problem;
  node.replaceChildren();
  if (!problem) return;
  node.append(el('strong', { textContent: visible(problem.title || problem.message) }));
  if (problem.detail) node.append(el('p', { textContent: visible(problem.detail) }));
  if (problem.hint) node.append(el('p', { textContent: 'Hint: ' + visible(problem.hint) }));
}

// The clipboard API exists only on https and localhost; elsewhere the old command does.
export async function copyFrom(node, button) {
  const before = button.dataset.label ??= button.textContent;
  let done = true;
  try {
    await navigator.clipboard.writeText(node.textContent);
  } catch {
    getSelection().selectAllChildren(node);
    done = document.execCommand('copy');
  }
  button.textContent = done ? 'Copied' : 'Selected: press Ctrl+C';
  setTimeout(() => { button.textContent = before; }, 1500);
}

// One polite sentence at a time. Emptied first, so that the same sentence twice is spoken twice.
export function announce(text) {
  const region = $('#announce');
  region.textContent = '';
  setTimeout(() => { region.textContent = text; }, 50);
}
