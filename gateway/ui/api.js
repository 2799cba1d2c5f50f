// HTTP to the gateway. Every failure becomes one kind of error, with the problem+json's parts.

export class Problem extends Error {
  constructor({ title, status = 0, detail, hint }) {
    super(title);
    Object.assign(this, { title, status, detail, hint });
  }
}

const TIMEOUT = 15_000;

async function request(path, options = {}) {
  let response, body;
  try {
    response = await fetch(path, { ...options, cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT) });
    body = await response.text();
  } catch (error) {
    throw new Problem(error.name === 'TimeoutError'
      ? { title: 'The gateway did not answer in time', hint: `It was given ${TIMEOUT / 1000} seconds. The page tries again by itself; a POST may have been carried out.` }
      : { title: 'The gateway cannot be reached', hint: 'Is it running, and is your network up?' });
  }
  let value;
  try {
    value = JSON.parse(body);
  } catch {
    // A proxy's HTML page, say: its text would only mislead.
    throw new Problem({ title: `The gateway answered ${response.status} ${response.statusText}`, status: response.status, detail: 'The answer is not JSON.' });
  }
  if (!response.ok)
    throw new Problem({ ...value, title: value.title ?? `The gateway answered ${response.status}`, status: response.status });
  return value;
}

export const get = path => request(path);

// The header makes it a request that a foreign site's form can't send.
export const post = (path, body) => request(path, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json', 'X-Requested-With': 'stacklens' },
  body: JSON.stringify(body),
});

// By status, because newer resolved alerts must never push an old open one off the list. An alert that
// changes status between the answers stands in two of them, or in none and then in the feed: the later wins.
const LIMITS = { open: 2000, acknowledged: 500, resolved: 500 };

export const getAlerts = async () => (await Promise.all(Object.entries(LIMITS).map(
  ([status, limit]) => get(`admin/alerts?status=${status}&limit=${limit}`)))).flat();

export const alertPath = (id, action) => `admin/alerts/${encodeURIComponent(id)}${action ? '/' + action : ''}`;
