// What the pointer does on a photo: brush, eraser, lassos, clicks, and moving about.

import {drawCapsule, Edit, fillPolygon, FLUKE, paste} from './drawing.js';

export const TOOLS = {
  brush: {value: FLUKE, draws: 'stroke'},
  eraser: {value: 0, draws: 'stroke'},
  lasso: {value: FLUKE, draws: 'lasso'},
  cut: {value: 0, draws: 'lasso'},
  more: {value: FLUKE, draws: 'click'},
  less: {value: 0, draws: 'click'},
  hand: {draws: 'nothing'},
};

const FEWEST = 3;  // corners of a lasso

export class Tools {
  /**
   * @param {View} view
   * @param {{changed, ask}} does changed() after every change of the mask; ask(box, click) is a
   *     promise of the mask's part in a box, corrected about a click
   */
  constructor(view, does) {
    this.view = view;
    this.does = does;
    this.tool = 'brush';
    this.radius = 12;  // of the brush, in pixels of the window: finer when zoomed in
    this.pointers = new Map();
    this.busy = false;  // while the server is asked nothing is drawn
    this.forget();
    const frame = view.frame;
    frame.addEventListener('pointerdown', (event) => this.down(event));
    frame.addEventListener('pointermove', (event) => this.move(event));
    frame.addEventListener('pointerup', (event) => this.up(event));
    frame.addEventListener('pointercancel', (event) => this.up(event));
    frame.addEventListener('pointerleave', () => this.showBrush(null));
    frame.addEventListener('contextmenu', (event) => event.preventDefault());
    frame.addEventListener('wheel', (event) => {
      event.preventDefault();
      view.zoom(Math.exp(-event.deltaY * 0.0015), event.clientX, event.clientY);
      this.showBrush(event);
    }, {passive: false});
  }

  /** Start anew with another photo. */
  forget() {
    this.done = [];
    this.undone = [];
    this.edit = null;
    this.pointers.clear();
  }

  get radiusInPhoto() {
    return Math.max(0.5, this.radius * this.view.ratio / this.view.place.scale);
  }

  down(event) {
    if (!this.view.mask) return;
    this.view.frame.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, {x: event.clientX, y: event.clientY});
    if (this.pointers.size > 1) {  // the second finger: what the first began was no stroke
      this.abandon();
      return;
    }
    const {draws} = TOOLS[this.tool];
    this.pans = event.button !== 0 || this.holdsSpace || draws === 'nothing';
    if (this.pans || this.busy) return;
    const point = this.view.toPhoto(event.clientX, event.clientY);
    if (draws === 'click') {
      this.click(point);
      return;
    }
    this.edit = new Edit();
    this.path = [point];
    if (draws === 'stroke') this.stroke(point, point);
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (before && this.pointers.size === 2) {
      this.pinch(event);
      return;
    }
    if (before && this.pans) {
      this.view.pan(event.clientX - before.x, event.clientY - before.y);
    } else if (this.edit) {
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const step of steps.length ? steps : [event]) {
        const point = this.view.toPhoto(step.clientX, step.clientY);
        if (TOOLS[this.tool].draws === 'stroke') this.stroke(this.path.at(-1), point);
        this.path.push(point);
      }
    }
    if (before) this.pointers.set(event.pointerId, {x: event.clientX, y: event.clientY});
    this.showBrush(event);
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId) || !this.edit) return;
    if (TOOLS[this.tool].draws === 'lasso' && this.path.length >= FEWEST) {
      fillPolygon(this.view.mask, this.edit, this.path, TOOLS[this.tool].value);
    }
    const {edit} = this;
    this.edit = null;
    this.keep(edit);
    this.showBrush(event);
  }

  stroke(from, to) {
    const part = new Edit();
    drawCapsule(this.view.mask, part, from, to, this.radiusInPhoto, TOOLS[this.tool].value);
    this.edit.add(part);
    if (!part.isEmpty) this.view.drawMask(part.box);
  }

  abandon() {
    if (!this.edit) return;
    this.edit.undo(this.view.mask);
    this.edit = null;
    this.view.draw();
  }

  pinch(event) {
    const [one, two] = this.pointers.values();
    const span = () => Math.hypot(...this.difference());
    const [before, middle] = [span(), {x: (one.x + two.x) / 2, y: (one.y + two.y) / 2}];
    this.pointers.set(event.pointerId, {x: event.clientX, y: event.clientY});
    const [first, second] = this.pointers.values();
    const now = {x: (first.x + second.x) / 2, y: (first.y + second.y) / 2};
    this.view.pan(now.x - middle.x, now.y - middle.y);
    this.view.zoom(span() / Math.max(1, before), now.x, now.y);
  }

  difference() {
    const [one, two] = this.pointers.values();
    return [one.x - two.x, one.y - two.y];
  }

  /** Let the server follow the edge about a click. */
  async click(point) {
    const {mask} = this.view;
    const half = Math.round(Math.min(400, Math.max(24, 4 * this.radiusInPhoto)));
    const box = {
      left: Math.max(0, Math.floor(point.x) - half),
      top: Math.max(0, Math.floor(point.y) - half),
      right: Math.min(mask.width, Math.floor(point.x) + half),
      bottom: Math.min(mask.height, Math.floor(point.y) + half),
    };
    if (point.x < 0 || point.y < 0 || point.x >= mask.width || point.y >= mask.height) return;
    const radius = Math.max(2, this.radiusInPhoto / 2);
    const part = await this.does.ask(box, {...point, radius, more: this.tool === 'more'});
    if (part && this.view.mask === mask) {
      const edit = new Edit();
      paste(mask, edit, box, part);
      this.keep(edit);
    }
  }

  /** Take an edit that was made into what can be undone. */
  keep(edit) {
    if (!edit.isEmpty) {
      this.done.push(edit);
      this.undone = [];
      this.view.drawMask(edit.box);
      this.does.changed();
    }
  }

  /** Undo the last edit, or do the last undone one again; false where there is none. */
  undo(again = false) {
    const [from, to] = again ? [this.undone, this.done] : [this.done, this.undone];
    if (this.edit || !from.length) return false;
    const edit = from.pop();
    to.push(edit.undo(this.view.mask));
    this.view.drawMask(edit.box);
    this.does.changed();
    return true;
  }

  showBrush(event) {
    const {marks} = this.view;
    const round = ['stroke', 'click'].includes(TOOLS[this.tool].draws) && event?.pointerType !== 'touch';
    marks.brush = event && round && this.view.mask
      ? {...this.view.toPhoto(event.clientX, event.clientY), radius: this.radiusInPhoto}
      : null;
    marks.path = this.edit && TOOLS[this.tool].draws === 'lasso' ? this.path : [];
    this.view.drawMarks();
  }
}
