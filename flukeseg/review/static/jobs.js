// What takes longer: masks of new photos, learning from what was corrected, downloads.

import {find, tell} from './controls.js';
import {addPhoto, learn, predictAdded, readLearnable, readState} from './server.js';

let isLearnable = false;

const seconds = (value) => (value < 90 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`);

/** Say what the program is at, in the header and in the window about learning. */
export function showWork({work}) {
  // of a progress bar, which is drawn in letters, the two numbers
  const line = work?.line.replace(/^.*\| (\d+)\/(\d+) \[.*$/, '$1 of $2');
  find('work').textContent = work?.running ? `${work.step} (${seconds(work.seconds)}): ${line}` : '';
  find('learning-start').disabled = !isLearnable || Boolean(work?.running);
  if (work?.kind !== 'learning') return;
  find('learning-steps').replaceChildren(...work.steps.map(({title, state, seconds: took}) => {
    const item = document.createElement('li');
    item.className = state;
    item.textContent = took === null ? title : `${title}: ${seconds(took)}`;
    return item;
  }));
  const text = work.running ? line : work.problem || work.result;
  find('learning-result').textContent = text;
}

async function add(files) {
  const photos = [...files];
  try {
    for (const [i, file] of photos.entries()) {
      tell(`Adding ${file.name} (${i + 1} of ${photos.length})`);
      await addPhoto(file);
    }
    await predictAdded();
    tell(`${photos.length} photos added; their masks appear in the list as they are ready`);
  } catch (error) {
    tell(error.message, true);
  }
}

export function connectJobs() {
  find('download').addEventListener('click', () => { window.location.href = 'api/download.zip'; });
  find('learn').addEventListener('click', async () => {
    find('learning-about').textContent = 'Counting the masks that you have looked at …';
    find('learning').showModal();
    try {
      const {possible, sentence} = await readLearnable();
      isLearnable = possible;
      find('learning-about').textContent = sentence;
      showWork(await readState());
    } catch (error) {
      find('learning-about').textContent = error.message;
    }
  });
  find('learning-close').addEventListener('click', () => find('learning').close());
  find('learning-start').addEventListener('click', async () => {
    try {
      showWork(await learn());
    } catch (error) {
      find('learning-result').textContent = error.message;
    }
  });
  const frame = find('view');
  for (const name of ['dragenter', 'dragover']) {
    document.addEventListener(name, (event) => { event.preventDefault(); frame.classList.add('drop'); });
  }
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) frame.classList.remove('drop');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    frame.classList.remove('drop');
    if (event.dataTransfer.files.length) add(event.dataTransfer.files);
  });
}
