// Buttons, keys and messages.

import {TOOLS} from './tools.js';

const OVERLAYS = {both: 'Mask: filled', outline: 'Mask: outline', none: 'Mask: hidden'};
const TOOL_KEYS = {b: 'brush', e: 'eraser', l: 'lasso', k: 'cut', m: 'more', n: 'less', h: 'hand'};

export const find = (id) => document.getElementById(id);

let hiding = null;

/** Say something at the foot of the page; an error stays until something else is said. */
export function tell(text, isError = false) {
  const message = find('message');
  message.textContent = text;
  message.className = isError ? 'error' : '';
  message.hidden = !text;
  clearTimeout(hiding);
  if (!isError) hiding = setTimeout(() => { message.hidden = true; }, 3000);
}

/** Ask what is to become of a mask that was saved elsewhere too: true keeps this page's. */
export function settleConflict(photo) {
  const dialog = find('conflict');
  find('conflict-about').textContent = `The mask of ${photo.name} was changed in another window, `
    + 'or by someone else, after you opened it here.';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((settle) => {
    dialog.addEventListener('close', () => settle(dialog.returnValue === 'mine'), {once: true});
  });
}

function choose(tools, view, name) {
  tools.tool = name;
  view.frame.dataset.tool = name;
  for (const button of document.querySelectorAll('[data-tool]')) {
    button.setAttribute('aria-pressed', button.dataset.tool === name);
  }
}

function setRadius(tools, radius) {
  const size = find('size');
  size.value = radius;
  tools.radius = Number(size.value);
}

function turnOverlay(view) {
  const names = Object.keys(OVERLAYS);
  view.overlay = names[(names.indexOf(view.overlay) + 1) % names.length];
  find('overlay').lastChild.textContent = ` ${OVERLAYS[view.overlay]}`;
  view.draw();
}

/** @param does what the keys and buttons for going on do: right, not, next, previous, undo, redo */
export function setUpKeys(tools, view, does) {
  for (const button of document.querySelectorAll('button[data-tool]')) {
    button.addEventListener('click', () => choose(tools, view, button.dataset.tool));
  }
  for (const name of Object.keys(does)) find(name).addEventListener('click', does[name]);
  find('size').addEventListener('input', () => setRadius(tools, find('size').value));
  find('overlay').addEventListener('click', () => turnOverlay(view));
  find('fit').addEventListener('click', () => view.mask && view.fit());
  find('help-button').addEventListener('click', () => find('help').showModal());
  find('who').addEventListener('change', () => localStorage.setItem('who', find('who').value));
  choose(tools, view, Object.keys(TOOLS)[0]);

  const keys = {
    Enter: does.right,
    x: does.not,
    ArrowRight: does.next,
    ArrowLeft: does.previous,
    z: does.undo,
    Z: does.redo,
    o: () => turnOverlay(view),
    f: () => view.mask && view.fit(),
    '[': () => setRadius(tools, tools.radius / 1.25),
    ']': () => setRadius(tools, tools.radius * 1.25 + 1),
    '?': () => find('help').showModal(),
  };
  for (const [key, name] of Object.entries(TOOL_KEYS)) keys[key] = () => choose(tools, view, name);

  window.addEventListener('keydown', (event) => {
    if (event.target.matches('input:not([type=range]), select') || document.querySelector('dialog[open]')) return;
    const isUndo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z';
    if (event.altKey || ((event.ctrlKey || event.metaKey) && !isUndo)) return;
    if (event.key === ' ') {
      tools.holdsSpace = true;
      event.preventDefault();
      return;
    }
    const act = keys[event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  window.addEventListener('keyup', (event) => { if (event.key === ' ') tools.holdsSpace = false; });
}
