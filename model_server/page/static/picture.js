// A file of any format that the browser reads -> a JPEG or PNG that the model reads.

const MOST_BYTES = 50 * 2 ** 20;
const LONGEST_SIDE = 1024; // the model looks at far fewer pixels; the rest would only take time

/** A file that cannot become a picture; the message says why, in words. */
export class PictureError extends Error {}

/**
 * Decodes, turns upright as the camera noted, puts transparent pictures on white, and makes huge
 * ones smaller. Small pictures keep every pixel as it is.
 *
 * @param {Blob} file
 * @returns {Promise<Blob>} PNG; a JPEG where it was made smaller, since a photograph's PNG is large.
 * @throws {PictureError}
 */
export async function prepare(file) {
  if (file.size === 0) throw new PictureError("This file is empty.");
  if (file.size > MOST_BYTES) {
    throw new PictureError(
      `This file is too large: ${Math.round(file.size / 2 ** 20)} MB, where ` +
        `${MOST_BYTES / 2 ** 20} MB are the most.`,
    );
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new PictureError("This is not a picture, or none that this browser can read.");
  }
  try {
    const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
    return await draw(bitmap, bitmap.width, bitmap.height, scale);
  } finally {
    bitmap.close();
  }
}

/**
 * Takes the picture that a video shows now.
 *
 * @param {HTMLVideoElement} video
 * @returns {Promise<Blob>} PNG, or JPEG as for `prepare`.
 */
export function grab(video) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
  return draw(video, video.videoWidth, video.videoHeight, scale);
}

async function draw(source, width, height, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const type = scale < 1 ? "image/jpeg" : "image/png";
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, 0.92));
  if (blob === null) throw new PictureError("This picture is too large for the browser.");
  return blob;
}
