// The page: opens photos of the queue, saves what was drawn and judged, and goes on.

import {cut, isSame} from './drawing.js';
import {connectJobs, showWork} from './jobs.js';
import {describe, isUnreadable, List} from './list.js';
import {find, setUpKeys, settleConflict, tell} from './controls.js';
import {followEdge, loadPhoto, readQueue, readState, save} from './server.js';
import {Tools} from './tools.js';
import {View} from './view.js';

const POLL = 2500;  // milliseconds

const view = new View(find('view'));
const tools = new Tools(view, {
  changed: () => { current.touched = true; view.marks.box = null; view.marks.points = []; enable(); },
  ask: async (box, click) => attempt(() => followEdge(current.photo, box, click, cut(view.mask, box))),
});
const list = new List(find('list'), find('filter'), (photo) => attempt(() => go(photo)));

let current = null;  // {photo, etag, stored: pixels as the server has them, touched}
let ahead = null;  // {photo, version, loaded}: the next photo, on its way
let judged = null;  // {photo, etag, mask, verdict}: what was before the last judgement
let version = null;  // of the queue as it is shown

function isChanged() {
  if (!current?.touched) return false;
  current.touched = !isSame(view.mask.pixels, current.stored);
  return current.touched;
}

function enable() {
  find('undo').disabled = !tools.done.length && !judged;
  find('redo').disabled = !tools.undone.length;
  for (const id of ['right', 'not']) find(id).disabled = !current?.etag;
}

/** Do one thing with the server at a time; what goes wrong is said, and no stroke is lost. */
async function attempt(work) {
  if (tools.busy) return undefined;
  tools.busy = true;
  view.frame.classList.add('waiting');
  try {
    return await work();
  } catch (error) {
    tell(error.message, true);
    return undefined;
  } finally {
    tools.busy = false;
    view.frame.classList.remove('waiting');
    enable();
  }
}

/** Save what was painted, then show another photo. */
async function go(photo) {
  if (photo === current?.photo) return;
  if (isChanged()) await judge('right');
  if (photo) await open(photo);
}

async function open(photo) {
  list.select(photo);
  find('name').textContent = photo.name;
  find('about').textContent = '';
  tools.forget();
  current = {photo, etag: null, stored: null, touched: false};
  let problem = photo.status.replace(/^unreadable: /, 'This photo could not be read: ');
  let loaded = null;
  if (!isUnreadable(photo)) {
    try {
      const isAhead = ahead?.photo === photo && ahead.version === photo.version;
      loaded = await (isAhead ? ahead.loaded : loadPhoto(photo));
    } catch (error) {
      problem = error.message;
    }
  }
  ahead = null;
  find('empty').textContent = loaded ? '' : problem;
  find('empty').hidden = Boolean(loaded);
  if (!loaded) {
    view.clear();
    return;
  }
  Object.assign(current, {etag: loaded.etag, stored: loaded.mask.pixels.slice()});
  await view.show(loaded.bitmap, loaded.mask);
  Object.assign(view.marks, {box: photo.box, points: photo.points});
  showCaption();
  const next = list.neighbour(photo, 1);
  if (next && !isUnreadable(next)) {
    ahead = {photo: next, version: next.version, loaded: loadPhoto(next)};
    ahead.loaded.catch(() => { ahead = null; });  // asked for again when it is opened
  }
}

function showCaption() {
  const {photo} = current;
  const parts = [`${view.mask.width} × ${view.mask.height}`, describe(photo)];
  const reasons = document.createElement('span');
  reasons.className = 'reason';
  reasons.textContent = photo.reasons.length ? `Look at: ${photo.reasons.join(', ')}` : '';
  find('about').replaceChildren(`${parts.filter(Boolean).join(', ')}. `, reasons);
}

/** Save a verdict on the open photo, and its mask where it was changed. */
async function judge(verdict) {
  const {photo, etag, stored} = current;
  const mask = verdict === 'no_fluke'
    ? {...view.mask, pixels: new Uint8Array(stored.length)}
    : {...view.mask, pixels: view.mask.pixels.slice()};
  const body = verdict === 'no_fluke' || isChanged() ? mask : null;
  const before = {photo, mask: body && {...mask, pixels: stored}, verdict: photo.verdict};
  const who = find('who').value;
  let saved;
  try {
    saved = await save(photo, etag, verdict, who, body);
  } catch (error) {
    if (error.status !== 412) throw error;
    const theirs = await loadPhoto(photo);
    if (await settleConflict(photo)) {
      saved = await save(photo, theirs.etag, verdict, who, body ?? mask);
      before.mask = theirs.mask;
    } else {
      ahead = {photo, version: photo.version, loaded: Promise.resolve(theirs)};
      await open(photo);
      throw new Error(`${photo.name} is shown as it was saved elsewhere`);
    }
  }
  judged = {...before, etag: saved.etag};
  Object.assign(current, {etag: saved.etag, stored: mask.pixels, touched: false});
  take(saved);
  tell(`${photo.name}: saved`);
}

/** Judge the open photo and go on to the next that nobody has looked at. */
async function judgeAndGo(verdict) {
  if (!current?.etag) return;
  const {photo} = current;
  await judge(verdict);
  const next = list.nextOpen(photo);
  if (next) await open(next);
  else {
    await open(photo);
    tell('Every photo shown here has been looked at');
  }
}

/** Take back the last stroke; where there is none, the last judgement. */
async function undo() {
  if (tools.undo() || !judged) return;
  const {photo, etag, mask, verdict} = judged;
  const back = {null: 'undone', corrected: 'right'}[verdict] ?? verdict;
  take(await save(photo, etag, back, find('who').value, mask));
  judged = null;
  await open(photo);
  tell(`${photo.name}: taken back`);
}

/** Put what the server says of one photo in its place in the queue. */
function take(saved) {
  const photo = list.photos.find((other) => other.id === saved.photo.id);
  Object.assign(photo, saved.photo);
  showProgress(saved.progress);
  list.set(list.photos);
}

function showProgress({looked_at: lookedAt, total}) {
  find('bar').max = Math.max(1, total);
  find('bar').value = lookedAt;
  find('count').textContent = `${lookedAt} of ${total} looked at`;
}

async function refresh() {
  const state = await readState();
  showWork(state);
  showProgress(state.progress);
  if (state.version === version) return;
  const queue = await readQueue();
  ({version} = queue);
  const known = new Map(list.photos.map((photo) => [photo.id, photo]));
  list.set(queue.photos.map((photo) => Object.assign(known.get(photo.id) ?? {}, photo)));
  find('folder').textContent = document.title = queue.folder;
  if (!find('who').value) find('who').value = localStorage.getItem('who') ?? queue.who;
  if (!current && list.photos.length) {
    await attempt(() => open(list.photos.find((p) => !p.verdict && !isUnreadable(p)) ?? list.photos[0]));
  }
  if (!list.photos.length) {
    find('empty').textContent = 'No photo here has a mask yet. Drop photos on this window, '
      + 'or wait until the first ones are ready.';
    find('empty').hidden = false;
  }
}

async function keepFresh() {
  for (;;) {
    try {
      await refresh();
    } catch (error) {
      tell(error.message, true);
    }
    await new Promise((done) => { setTimeout(done, POLL); });
  }
}

setUpKeys(tools, view, {
  right: () => attempt(() => judgeAndGo('right')),
  not: () => attempt(() => judgeAndGo('no_fluke')),
  next: () => attempt(() => go(list.neighbour(current?.photo, 1))),
  previous: () => attempt(() => go(list.neighbour(current?.photo, -1))),
  undo: () => attempt(undo),
  redo: () => { if (!tools.busy) tools.undo(true); enable(); },
});
connectJobs();
window.addEventListener('beforeunload', (event) => { if (isChanged()) event.preventDefault(); });
enable();
keepFresh();
