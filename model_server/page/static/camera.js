// The camera, in a dialog: a live view and a shutter.

import { grab } from "./picture.js";

/**
 * Shows the camera until a picture is taken or the dialog is closed; the camera is off afterwards.
 *
 * @param {HTMLDialogElement} dialog holds a video, and buttons #shutter and #close.
 * @returns {Promise<?Blob>} the picture; null if none was taken.
 * @throws {DOMException} no camera, or the browser may not use it.
 */
export async function grabFrom(dialog) {
  const video = dialog.querySelector("video");
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: { ideal: "environment" } },
  });
  try {
    video.srcObject = stream;
    const playing = video.play();
    // Before the dialog is shown: it may be closed before the camera has its first picture.
    const taken = new Promise((resolve, reject) => {
      playing.catch(reject);
      dialog.querySelector("#shutter").onclick = () =>
        playing.then(() => grab(video)).then(resolve, reject);
      dialog.querySelector("#close").onclick = () => resolve(null);
      dialog.onclose = () => resolve(null); // by the Escape key
    });
    dialog.showModal();
    return await taken;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    dialog.close();
  }
}
