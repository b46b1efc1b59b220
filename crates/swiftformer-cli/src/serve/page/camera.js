// The camera: a frame goes to the server when the one before is answered, so that nothing piles up.

import { complain, find, make } from "./elements.js";

/** Longest side of a frame that is sent: more than models look at, and little to transfer. */
const LONGEST = 480;
const QUALITY = 0.85;
/** Frames a second are counted over this many milliseconds. */
const WINDOW = 2000;

const canvas = make("canvas");
const button = find("camera-switch");
const devices = find("camera-device");

let handlers;
let stream = null;
/** Number of the run that goes on; what an earlier one still brings is not shown. */
let run = 0;

/**
 * Calls `begun()` when the camera is on, `frame(blob, stream)` for each frame, waiting for it, `ended()` when it is off, and
 * `failed(error, again)` with what ended it, and what begins anew.
 */
export function onCamera(parts) {
  handlers = parts;
  button.addEventListener("click", () => (stream ? stopCamera() : start()));
  devices.addEventListener("change", () => {
    stopCamera();
    start();
  });
}

/** Whether frames are being taken. */
export function isCameraOn() {
  return stream !== null;
}

/** Turns it off. */
export function stopCamera() {
  run++;
  if (!stream) return;
  stream.getTracks().forEach((track) => track.stop());
  stream = null;
  button.textContent = "Start the camera";
  find("camera-rate").textContent = "";
  handlers.ended();
}

async function start() {
  complain();
  const own = ++run;
  try {
    const opened = await open(devices.value);
    if (own !== run) {
      opened.getTracks().forEach((track) => track.stop());
      return;
    }
    stream = opened;
    button.textContent = "Stop the camera";
    await listDevices();
    handlers.begun();
    await follow(own);
  } catch (error) {
    if (own !== run) return;
    stopCamera();
    handlers.failed(inWords(error), start);
  }
}

/** A video of the camera, for people. */
export function videoOf(source) {
  const video = make("video", { srcObject: source, muted: true, autoplay: true, playsInline: true });
  video.setAttribute("aria-label", "Live picture of the camera");
  return video;
}

async function open(deviceId) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the camera only to pages over HTTPS or from this machine. Start the server with --tls-cert and --tls-key.");
  }
  const wish = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "environment" };
  return navigator.mediaDevices.getUserMedia({ audio: false, video: { ...wish, width: { ideal: 640 } } });
}

async function listDevices() {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  const current = stream.getVideoTracks()[0].getSettings().deviceId;
  devices.replaceChildren(...cameras.map(({ deviceId, label }, index) =>
    make("option", { value: deviceId, selected: deviceId === current }, label || `Camera ${index + 1}`)));
  find("camera-choice").hidden = cameras.length < 2;
}

/** Hands on frame after frame, and counts them. */
async function follow(own) {
  const video = videoOf(stream);
  await video.play();
  const times = [];
  while (own === run) {
    await newFrame(video);
    if (own !== run) return;
    await handlers.frame(await take(video), video.srcObject);
    const now = performance.now();
    times.push(now);
    while (times[0] < now - WINDOW) times.shift();
    if (own === run && times.length > 1) {
      const rate = 1000 * (times.length - 1) / (now - times[0]);
      find("camera-rate").textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} frames a second`;
    }
  }
}

/** Waits for a frame that was not sent yet; in a tab that nobody sees, there is none. */
function newFrame(video) {
  const wait = video.requestVideoFrameCallback?.bind(video) ?? requestAnimationFrame;
  return new Promise((resolve) => wait(resolve));
}

/** The frame of this moment as a JPEG. */
async function take(video) {
  const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}

function inWords(error) {
  switch (error.name) {
    case "NotAllowedError": return new Error("The browser was not allowed to use the camera. Allow it for this page and start again.");
    case "NotFoundError":
    case "OverconstrainedError": return new Error("There is no camera here.");
    case "NotReadableError": return new Error("The camera cannot be used; another program may have it.");
    default: return error;
  }
}
