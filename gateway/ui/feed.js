// The live connection. It keeps a place (epoch, seq) in the feed of alert changes and promises the page:
// replace() with a whole list first, then apply() with every later change, once, in order, across reconnects.

const FIRST_DELAY = 500, LONGEST_DELAY = 10_000;
const HELLO_TIMEOUT = 15_000;   // a connection that doesn't get as far as hello
const QUIET = 25_000;           // silence after which we ask whether the gateway is still there

export function startFeed({ load, replace, apply, onState, onProblem }) {
  let socket = null;        // the one whose events count; older ones are ignored
  let place = null;         // of the last change applied; null: a list must be loaded
  let greeting = null;
  let held = null;          // changes that wait for the list; null: none is being loaded
  let loads = 0;
  let live = false, since = 0, heard = 0, probing = false;
  let delay = FIRST_DELAY, retryAt = 0;

  function connect() {
    const url = new URL('ws/alerts', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    url.search = place ? `?since=${encodeURIComponent(place.epoch)}:${place.seq}` : '';
    const mine = socket = new WebSocket(url);
    greeting = null;
    since = heard = Date.now();
    mine.onmessage = event => { if (mine === socket) read(event.data); };
    mine.onclose = () => { if (mine === socket) lost(); };
    onState('connecting');
  }

  function lost() {
    const old = socket;
    socket = held = null;
    old?.close();
    if (!greeting) reread();
    // Only a connection that lasted is a reason to be quick again.
    if (live && Date.now() - since > LONGEST_DELAY) delay = FIRST_DELAY;
    live = false;
    retryAt = Date.now() + delay * (0.75 + Math.random() / 2);   // jitter: not every tab at once
    delay = Math.min(delay * 2, LONGEST_DELAY / 1.25);
    setTimeout(tick, retryAt - Date.now() + 5);
    tick();
  }

  function goLive() {
    live = true;
    since = Date.now();
    onState('live');
  }

  // A frame holds one or more JSON objects, one a line.
  function read(frame) {
    heard = Date.now();
    let changes = [];
    for (const line of frame.split('\n')) {
      if (!line.trim()) continue;
      let message;
      try {
        message = JSON.parse(line);
      } catch {
        place = null;         // what was it? Only a new list can tell.
        return lost();
      }
      if (message.hello) {
        greeting = message.hello;
        if (place && place.epoch === greeting.epoch) goLive();
        else reload(greeting);
      } else if (message.gap) {
        take(changes);
        changes = [];
        place = null;
        if (greeting) reload(greeting);
      } else if (message.alert) {
        changes.push(message);
      }
    }
    take(changes);
  }

  function take(changes) {
    if (held) return void held.push(...changes);
    if (!place) return;
    const news = [];
    for (const change of changes) {
      if (change.epoch !== place.epoch) {     // restored beneath us
        place = null;
        return lost();
      }
      if (change.seq <= place.seq) continue;
      place.seq = change.seq;
      news.push(change);
    }
    if (news.length) apply(news);
  }

  // The list is asked for after the place is known, so list and held changes overlap and nothing is between.
  async function reload(at) {
    const turn = ++loads, mine = socket;
    held = [];
    place = null;
    let list;
    try {
      list = await load();
    } catch (problem) {
      if (turn !== loads || mine !== socket) return;
      onProblem(problem);
      return lost();
    }
    if (turn !== loads || mine !== socket) return;
    onProblem(null);
    replace(list);
    place = { epoch: at.epoch, seq: at.seq };
    const late = held;
    held = null;
    goLive();
    take(late);
  }

  // No hello: a proxy that knows no WebSocket, a refused token, a gateway that is down. The browser won't say
  // which, but a plain GET does, and where it works the list is at most ten seconds old.
  async function reread() {
    const turn = ++loads;
    try {
      const list = await load();
      if (turn !== loads || live) return;
      onProblem(null);
      replace(list);
      place = null;           // the list is ahead of it
    } catch (problem) {
      if (turn === loads && !live) onProblem(problem);
    }
  }

  // Browsers hide WebSocket pings from pages, and a cut cable closes nothing: a page that says "live" all
  // night on a dead connection would be the worst of its lies. So after silence we ask for a small file.
  async function probe() {
    if (probing || !live) return;
    const mine = socket;
    probing = true;
    try {
      await fetch('favicon.svg', { cache: 'no-store', signal: AbortSignal.timeout(5000) });
      heard = Date.now();
    } catch {
      if (mine === socket) lost();
    }
    probing = false;
  }

  function tick() {
    const now = Date.now();
    if (!socket && now >= retryAt) connect();
    else if (!socket) onState('offline', Math.ceil((retryAt - now) / 1000));
    else if (!live && now - since > HELLO_TIMEOUT && !held) lost();
    else if (live && now - heard > QUIET && !document.hidden) probe();
  }

  function wake() {
    if (document.hidden) return;
    if (socket) probe();
    else connect();
  }

  document.addEventListener('visibilitychange', wake);
  addEventListener('online', wake);
  addEventListener('offline', probe);    // only a hint: a gateway on this machine may still answer
  setInterval(tick, 1000);
  connect();
}
