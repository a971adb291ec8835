"use strict";
// Unpacks one case: masks from deflated bytes (exact, never through a picture), the scan from
// pictures. Arrays are (n, H, W): slices in the file's order, rows and columns in increasing world
// coordinate.

const AXIS_NAMES = ["sagittal", "coronal", "axial"]; // by the world axis they are stacked along
const LETTERS = [["L", "R"], ["P", "A"], ["I", "S"]];

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function unpackMask(mask) {
  const stream = new Blob([bytesOf(mask.data)]).stream();
  const inflated = stream.pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(inflated).arrayBuffer();
  const values = mask.bytes === 1 ? new Uint8Array(buffer) : new Uint16Array(buffer);
  return { values, shape: mask.shape, factor: mask.factor };
}

async function unpackAtlas(image, codes, number) {
  const blob = new Blob([bytesOf(image.atlases[number])], { type: image.mime });
  const picture = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  picture.close();
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const [, rows, columns] = image.shape;
  const start = number * image.slices_per_atlas * rows * columns;
  for (let i = 0, j = start; i < pixels.length; i += 4, j++) codes[j] = pixels[i];
}

class CaseVolume {
  constructor(content, masks) {
    this.grid = content.grid;
    this.codes = content.codes;
    this.prediction = masks.prediction || null;
    this.reference = masks.reference || null;
    this.image = content.image;
    this.imageCodes = content.image ? new Uint8Array(content.image.shape.reduce((a, b) => a * b)) : null;
    this.atlasesDone = 0;
    this.loaded = !content.image;
  }

  static async open(content) {
    const masks = {};
    for (const [role, mask] of Object.entries(content.masks)) masks[role] = await unpackMask(mask);
    return new CaseVolume(content, masks);
  }

  // Unpack the scan, beginning with the slices that are looked at; `tell` is called after each part.
  async loadImage(firstSlice, tell) {
    if (!this.image) return;
    const count = this.image.atlases.length;
    const first = Math.floor(firstSlice / this.image.slices_per_atlas);
    for (let i = 0; i < count; i++) {
      await unpackAtlas(this.image, this.imageCodes, (first + i) % count);
      this.atlasesDone = i + 1;
      this.loaded = this.atlasesDone === count;
      tell();
    }
  }

  // The stored index (n, H, W) of a voxel, for an array that may be reduced in the plane.
  offset(array, index) {
    const [, rows, columns] = array.shape;
    const row = Math.min(Math.floor(index[1] / array.factor), rows - 1);
    const column = Math.min(Math.floor(index[2] / array.factor), columns - 1);
    return (index[0] * rows + row) * columns + column;
  }

  labelAt(role, index) {
    const mask = this[role];
    return mask ? this.codes[mask.values[this.offset(mask, index)]] : null;
  }

  valueAt(index) {
    if (!this.image || !this.loaded) return null;
    return this.image.values[this.imageCodes[this.offset(this.image, index)]];
  }

  // Index in the file's own order (i, j, k).
  fileIndex(index) {
    const file = [0, 0, 0];
    this.grid.file_axes.forEach((axis, stored) => {
      const size = this.grid.shape[stored];
      file[axis] = this.grid.file_flips[stored] ? size - 1 - index[stored] : index[stored];
    });
    return file;
  }

  world(index) {
    return this.grid.to_world.map((row) => row[3] + index.reduce((sum, at, i) => sum + at * row[i], 0));
  }
}
