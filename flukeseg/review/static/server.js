// Every request that the page makes; all go to the program that sent the page.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw new Refused(0, 'The program does not answer: is it still running in its window? '
      + 'What you painted is kept here as long as this page stays open.');
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    const text = typeof problem.detail === 'string' ? problem.detail : answer.statusText;
    throw new Refused(answer.status, text);
  }
  return answer;
}

export const readQueue = async () => (await ask('api/queue')).json();
export const readState = async () => (await ask('api/state')).json();
export const thumbnail = (photo) => `api/photos/${photo.id}/thumbnail.jpg?v=${photo.version}`;

/** Load a photo and its mask: {bitmap, mask, etag}. */
export async function loadPhoto(photo) {
  const [image, mask] = await Promise.all([
    ask(`api/photos/${photo.id}/photo.jpg`).then((answer) => answer.blob()),
    ask(`api/photos/${photo.id}/mask`),
  ]);
  const [bitmap, bytes] = await Promise.all([createImageBitmap(image), mask.arrayBuffer()]);
  if (bytes.byteLength !== bitmap.width * bitmap.height) {
    throw new Refused(0, `${photo.name}: photo and mask are not of one size`);
  }
  return {
    bitmap,
    mask: {width: bitmap.width, height: bitmap.height, pixels: new Uint8Array(bytes)},
    etag: mask.headers.get('ETag'),
  };
}

/** Save a verdict, and a mask where there is one; return the photo as the server has it then. */
export async function save(photo, etag, verdict, who, mask = null) {
  const answer = await ask(`api/photos/${photo.id}?${new URLSearchParams({verdict, who})}`, {
    method: 'PUT',
    headers: {'If-Match': etag, 'Content-Type': 'application/octet-stream'},
    body: mask ? mask.pixels : null,
  });
  return {etag: answer.headers.get('ETag'), ...await answer.json()};
}

/** Correct a part of a mask about a click along the photo's edges. */
export async function followEdge(photo, box, click, part) {
  const query = new URLSearchParams({...box, ...click});
  const answer = await ask(`api/photos/${photo.id}/edge?${query}`, {
    method: 'POST',
    headers: {'Content-Type': 'application/octet-stream'},
    body: part,
  });
  return new Uint8Array(await answer.arrayBuffer());
}

export const readLearnable = async () => (await ask('api/learning')).json();
export const learn = async () => (await ask('api/learning', {method: 'POST'})).json();

export async function addPhoto(file) {
  await ask(`api/added?${new URLSearchParams({name: file.name})}`, {
    method: 'POST',
    headers: {'Content-Type': 'application/octet-stream'},
    body: file,
  });
}

export const predictAdded = async () => (await ask('api/prediction', {method: 'POST'})).json();
