// The queue at the side: only the rows that can be seen are in the page, so 6,000 cost no more.

import {thumbnail} from './server.js';

const HEIGHT = 84;
const WIDTH = 190;  // of a row on a narrow screen, where they stand side by side

const VERDICTS = {right: '✓ right', corrected: '✓ corrected', no_fluke: '✓ not a fluke'};

export const isUnreadable = (photo) => photo.status.startsWith('unreadable');

/** What one line says of a photo, besides its reasons. */
export function describe(photo) {
  if (isUnreadable(photo)) return 'could not be read';
  if (photo.status === 'no_fluke') return 'no fluke found';
  return photo.confidence === null ? '' : `confidence ${Math.round(100 * photo.confidence)} %`;
}

export class List {
  /** @param {(photo) => void} open is called with the photo that was clicked on */
  constructor(element, filter, open) {
    Object.assign(this, {element, rows: element.firstElementChild, filter, open});
    this.photos = [];
    this.shown = [];
    this.current = null;
    element.addEventListener('scroll', () => this.draw());
    new ResizeObserver(() => this.draw()).observe(element);
    filter.addEventListener('change', () => this.apply());
  }

  get isWide() {
    return !window.matchMedia('(max-width: 760px)').matches;
  }

  /** Take the photos as the server orders them. */
  set(photos) {
    this.photos = photos;
    this.offer();
    this.apply();
  }

  /** Offer every reason that some photo has, with how many there are. */
  offer() {
    const chosen = this.filter.value;
    const counts = new Map([['', this.photos.length], ['open', 0]]);
    for (const photo of this.photos) {
      if (!photo.verdict && !isUnreadable(photo)) counts.set('open', counts.get('open') + 1);
      const groups = photo.reasons.map((reason) => `reason:${reason}`);
      if (photo.verdict) groups.push(`verdict:${photo.verdict}`);
      if (isUnreadable(photo)) groups.push('unreadable');
      for (const group of groups) counts.set(group, (counts.get(group) ?? 0) + 1);
    }
    const names = {'': 'all photos', open: 'not looked at yet', unreadable: 'could not be read'};
    this.filter.replaceChildren(...[...counts].map(([value, count]) => {
      const [kind, rest] = value.split(':');
      const name = names[value] ?? (kind === 'verdict' ? VERDICTS[rest] : rest);
      return new Option(`${name} (${count})`, value, false, value === chosen);
    }));
  }

  apply() {
    const wanted = this.filter.value;
    const [kind, rest] = wanted.split(':');
    this.shown = this.photos.filter((photo) => {
      if (wanted === '') return true;
      if (wanted === 'open') return !photo.verdict && !isUnreadable(photo);
      if (wanted === 'unreadable') return isUnreadable(photo);
      return kind === 'reason' ? photo.reasons.includes(rest) : photo.verdict === rest;
    });
    this.draw();
  }

  /** The photo some places after another in what is shown; null at the end. */
  neighbour(photo, step) {
    const at = this.shown.indexOf(photo);
    if (at >= 0) return this.shown[at + step] ?? null;
    // the photo fell out of the filter when it was judged: go on from where it stood
    const from = this.photos.indexOf(photo);
    const order = step > 0 ? this.photos.slice(from + 1) : this.photos.slice(0, from).reverse();
    return order.find((other) => this.shown.includes(other)) ?? null;
  }

  /** The next photo that nobody has judged, after this one or else from the start. */
  nextOpen(photo) {
    const from = this.photos.indexOf(photo) + 1;
    const isOpen = (other) => other !== photo && !other.verdict && !isUnreadable(other);
    const order = [...this.photos.slice(from), ...this.photos.slice(0, from)];
    const shown = new Set(this.shown);
    return order.find((other) => shown.has(other) && isOpen(other)) ?? null;
  }

  select(photo) {
    this.current = photo;
    const at = this.shown.indexOf(photo);
    const {element} = this;
    if (at >= 0 && this.isWide) {
      const top = at * HEIGHT;
      if (top < element.scrollTop || top + HEIGHT > element.scrollTop + element.clientHeight) {
        element.scrollTop = top - HEIGHT;
      }
    } else if (at >= 0) {
      element.scrollLeft = at * WIDTH - 20;
    }
    this.draw();
  }

  draw() {
    const {element, rows, shown, isWide} = this;
    const [step, length, from] = isWide
      ? [HEIGHT, element.clientHeight, element.scrollTop]
      : [WIDTH, element.clientWidth, element.scrollLeft];
    rows.style.height = isWide ? `${shown.length * HEIGHT}px` : '100%';
    rows.style.width = isWide ? '100%' : `${shown.length * WIDTH}px`;
    const first = Math.max(0, Math.floor(from / step) - 3);
    const last = Math.min(shown.length, Math.ceil((from + length) / step) + 3);
    const kept = new Map([...rows.children].map((row) => [row.dataset.key, row]));
    rows.replaceChildren(...shown.slice(first, last).map((photo, i) => {
      const key = `${photo.id} ${photo.version} ${photo.verdict}`;
      const row = kept.get(key) ?? this.makeRow(photo, key);
      row.style[isWide ? 'top' : 'left'] = `${(first + i) * step}px`;
      row.style[isWide ? 'left' : 'top'] = '0';
      row.setAttribute('aria-current', photo === this.current);
      row.onclick = () => this.open(photo);
      return row;
    }));
  }

  makeRow(photo, key) {
    const row = document.createElement('div');
    row.className = 'row';
    row.dataset.key = key;
    const image = document.createElement(isUnreadable(photo) ? 'div' : 'img');
    if (isUnreadable(photo)) image.className = 'gone';
    else Object.assign(image, {src: thumbnail(photo), alt: '', decoding: 'async'});
    const text = document.createElement('div');
    text.className = 'text';
    const say = (name, content) => {
      const span = document.createElement('span');
      span.className = name;
      span.textContent = content;
      if (content) text.append(span);
    };
    say('name', photo.name);
    say('quiet', describe(photo));
    say('reason', photo.verdict ? '' : photo.reasons.join(', '));
    say('verdict', VERDICTS[photo.verdict] ?? '');
    row.title = photo.name;
    row.append(image, text);
    return row;
  }
}
