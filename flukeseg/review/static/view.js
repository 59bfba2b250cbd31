// The photo, its mask and the pointer on three canvases that lie on each other.

import {paint} from './drawing.js';

const LOOK = {fill: 0x50ff00ff, outline: 0xffff00ff};  // magenta, as alpha, blue, green, red
const MOST_ZOOM = 40;  // view pixels for a pixel of the photo
const SMALL = 2048;  // width of the copy that is drawn while the photo is shown no larger

export class View {
  /** @param {HTMLElement} frame holds the canvases #photo, #mask and #marks */
  constructor(frame) {
    this.frame = frame;
    [this.photoCanvas, this.maskCanvas, this.marksCanvas] = frame.querySelectorAll('canvas');
    this.place = {scale: 1, x: 0, y: 0};
    this.mask = null;
    this.photo = null;
    this.overlay = 'both';  // or outline, or none
    this.marks = {path: [], brush: null, box: null, points: []};
    new ResizeObserver(() => this.resize()).observe(frame);
  }

  /** Show a photo, an ImageBitmap, and its mask; the photo fits into the view at first. */
  async show(photo, mask) {
    this.photo?.close();
    this.small?.close();
    this.small = null;
    this.photo = photo;
    this.mask = mask;
    this.marks = {path: [], brush: this.marks.brush, box: null, points: []};
    this.fit();
    if (photo.width > SMALL) {
      const options = {resizeWidth: SMALL, resizeQuality: 'high'};
      const small = await createImageBitmap(photo, options);
      if (this.photo === photo) this.small = small;
      else small.close();
    }
  }

  clear() {
    this.photo = this.mask = null;
    this.draw();
  }

  resize() {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    this.ratio = ratio;
    for (const canvas of [this.photoCanvas, this.maskCanvas, this.marksCanvas]) {
      canvas.width = Math.max(1, Math.round(this.frame.clientWidth * ratio));
      canvas.height = Math.max(1, Math.round(this.frame.clientHeight * ratio));
    }
    if (this.photo) this.fit();
  }

  fit() {
    const {width, height} = this.maskCanvas;
    const scale = Math.min(width / this.mask.width, height / this.mask.height) * 0.98;
    this.place = {
      scale,
      x: (width - this.mask.width * scale) / 2,
      y: (height - this.mask.height * scale) / 2,
    };
    this.draw();
  }

  /** Where in the photo a place of the window lies. */
  toPhoto(clientX, clientY) {
    const corner = this.frame.getBoundingClientRect();
    return {
      x: ((clientX - corner.left) * this.ratio - this.place.x) / this.place.scale,
      y: ((clientY - corner.top) * this.ratio - this.place.y) / this.place.scale,
    };
  }

  /** Enlarge by a factor about a place of the window, which stays where it is. */
  zoom(factor, clientX, clientY) {
    if (!this.mask) return;
    const {width, height} = this.maskCanvas;
    const least = Math.min(width / this.mask.width, height / this.mask.height, 1) / 4;
    const scale = Math.min(MOST_ZOOM, Math.max(least, this.place.scale * factor));
    const corner = this.frame.getBoundingClientRect();
    const x = (clientX - corner.left) * this.ratio;
    const y = (clientY - corner.top) * this.ratio;
    const change = scale / this.place.scale;
    this.place = {
      scale,
      x: x - (x - this.place.x) * change,
      y: y - (y - this.place.y) * change,
    };
    this.draw();
  }

  pan(across, down) {
    this.place = {
      scale: this.place.scale,
      x: this.place.x + across * this.ratio,
      y: this.place.y + down * this.ratio,
    };
    this.draw();
  }

  /** Draw everything with the next frame, however often it is asked for until then. */
  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      this.drawPhoto();
      this.drawMask();
      this.drawMarks();
    });
  }

  drawPhoto() {
    const context = this.photoCanvas.getContext('2d', {alpha: false});
    context.fillStyle = '#22272b';
    context.fillRect(0, 0, this.photoCanvas.width, this.photoCanvas.height);
    if (!this.photo) return;
    const {scale, x, y} = this.place;
    const shown = this.mask.width * scale;
    const image = this.small && shown <= SMALL ? this.small : this.photo;
    context.imageSmoothingEnabled = scale < 2;  // a pixel that is drawn on should look like one
    context.imageSmoothingQuality = 'high';
    context.drawImage(image, x, y, shown, this.mask.height * scale);
  }

  /** Paint the mask, or only the part of it in a box of the photo's pixels. */
  drawMask(box = null) {
    const context = this.maskCanvas.getContext('2d');
    const area = this.areaOf(box);
    if (area.right <= area.left || area.bottom <= area.top) return;
    const [width, height] = [area.right - area.left, area.bottom - area.top];
    if (!this.mask || this.overlay === 'none') {
      context.clearRect(area.left, area.top, width, height);
      return;
    }
    const image = new ImageData(width, height);
    const look = {
      fill: this.overlay === 'both' ? LOOK.fill : 0,
      outline: LOOK.outline,
      line: Math.max(1, Math.round(1.5 * this.ratio)),
    };
    paint(new Uint32Array(image.data.buffer), area, this.mask, this.place, look);
    context.putImageData(image, area.left, area.top);
  }

  /** The pixels of the view that a box of the photo can change, its outline included. */
  areaOf(box) {
    const {width, height} = this.maskCanvas;
    if (!box) return {left: 0, top: 0, right: width, bottom: height};
    const {scale, x, y} = this.place;
    const margin = 4 * this.ratio;
    return {
      left: Math.max(0, Math.floor(box.left * scale + x - margin)),
      top: Math.max(0, Math.floor(box.top * scale + y - margin)),
      right: Math.min(width, Math.ceil(box.right * scale + x + margin)),
      bottom: Math.min(height, Math.ceil(box.bottom * scale + y + margin)),
    };
  }

  /** Draw what is no part of the mask: brush, lasso, the fluke's box, tips and notch. */
  drawMarks() {
    const context = this.marksCanvas.getContext('2d');
    context.clearRect(0, 0, this.marksCanvas.width, this.marksCanvas.height);
    if (!this.mask) return;
    const {scale, x, y} = this.place;
    const line = (style, width) => {
      context.strokeStyle = style;
      context.lineWidth = width * this.ratio;
      context.stroke();
    };
    const {box, path, brush, points} = this.marks;
    if (this.overlay === 'both') {
      context.beginPath();
      if (box) context.rect(box.x * scale + x, box.y * scale + y, box.width * scale, box.height * scale);
      line('#ffee58', 1.5);
      for (const point of points) {
        context.beginPath();
        context.arc(point.x * scale + x, point.y * scale + y, 5 * this.ratio, 0, 2 * Math.PI);
        line('#00e5ff', 2.5);
      }
    }
    for (const [style, width] of [['#000', 3.5], ['#fff', 1.5]]) {  // seen on any ground
      context.beginPath();
      path.forEach((point) => context.lineTo(point.x * scale + x, point.y * scale + y));
      line(style, width);
      if (!brush) continue;
      context.beginPath();
      context.arc(brush.x * scale + x, brush.y * scale + y, brush.radius * scale, 0, 2 * Math.PI);
      line(style, width);
    }
  }
}
