// The page: pictures come in by five ways, wait their turn, and each gets its answer.
//
//   choose, drop, paste, camera, example -> add -> prepare -> classify -> show
//
// An entry is {name, load, image, url, state: "waiting" | "done" | "failed", answer, reason, hopeless,
// item}: `load` gives the file, `image` and `url` are what became of it.

import { grabFrom } from "./camera.js";
import { classify, example, status } from "./model.js";
import { PictureError, prepare } from "./picture.js";

const MOST_BARS = 10;
const MOST_ENTRIES = 200;
const STATUS_EVERY_MS = 3_000;

const $ = (id) => document.getElementById(id);
const entries = [];
let shown = null;
let turn = Promise.resolve();

// --- Pictures come in ----------------------------------------------------------------------------

function add(files) {
  for (const file of files) enter(file.name || "picture", async () => file);
}

function enter(name, load) {
  // On a phone the answer lies below the fold.
  $("result").scrollIntoView({ block: "nearest" });
  const entry = { name, load };
  entries.push(entry);
  list(entry);
  queue(entry);
  while (entries.length > MOST_ENTRIES) forget(entries.shift());
}

/** One after the other: the answers come in the order of the pictures. */
function queue(entry) {
  entry.state = "waiting";
  turn = turn.then(async () => {
    show(entry);
    try {
      if (!entry.url) {
        entry.image = await prepare(await entry.load());
        entry.url = URL.createObjectURL(entry.image);
        show(entry);
      }
      entry.answer = await classify(entry.image);
      entry.state = "done";
    } catch (error) {
      entry.state = "failed";
      entry.reason = error.message;
      entry.hopeless = error instanceof PictureError; // a file that is no picture stays none
    }
    show(entry);
    tell(sentence(entry));
  });
}

function forget(entry) {
  entry.item.remove();
  if (entry.url) URL.revokeObjectURL(entry.url);
}

for (const [button, input] of [["choose", "files"], ["camera", "capture"]]) {
  $(input).addEventListener("change", () => {
    add($(input).files);
    $(input).value = ""; // the same file may be chosen again
  });
  if (button === "choose") $(button).addEventListener("click", () => $(input).click());
}

$("camera").addEventListener("click", async () => {
  // Browsers let only pages from https or this very machine use the camera. Elsewhere a phone's own
  // camera app takes the picture, as the file input asks it to.
  if (!navigator.mediaDevices) return $("capture").click();
  try {
    const image = await grabFrom($("viewfinder"));
    if (image) add([new File([image], "camera")]);
  } catch (error) {
    const refused = error.name === "NotAllowedError";
    problem(refused ? "The browser was not allowed to use the camera." : "No camera was found.");
  }
});

addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) add(files);
  else problem("What was pasted is not a picture.");
});

let inside = 0; // dragenter and dragleave also come for each element within the page
addEventListener("dragenter", () => document.body.classList.toggle("dragging", ++inside > 0));
addEventListener("dragleave", () => document.body.classList.toggle("dragging", --inside > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  document.body.classList.remove("dragging");
  const files = [...event.dataTransfer.files];
  if (files.length) add(files);
  else problem("What was dropped is not a file.");
});

for (const button of document.querySelectorAll("#examples button")) {
  const image = button.querySelector("img");
  button.addEventListener("click", () => enter(image.alt, () => example(image.src)));
}
$("examples").hidden = !document.querySelector("#examples button");

$("again").addEventListener("click", () => {
  queue(shown);
  $("result").focus(); // the button goes
});

// --- Answers are shown ---------------------------------------------------------------------------

function show(entry) {
  shown = entry;
  const { answer, state } = entry;
  $("empty").hidden = true;
  $("answer").hidden = false;
  $("result").setAttribute("aria-busy", state === "waiting");
  $("picture").src = entry.url ?? "";
  $("picture").hidden = !entry.url;
  $("picture").alt = entry.name;
  $("name").textContent = entry.name;
  $("verdict").hidden = state === "failed";
  $("problem").hidden = state !== "failed";
  $("again").hidden = entry.hopeless;
  $("reason").textContent = entry.reason ?? "";
  $("bars").replaceChildren(...(state === "done" ? bars(answer) : []));
  $("class").textContent = state === "done" ? verdict(answer) : "…";
  $("class").className = $("class").textContent.length > 2 ? "word" : "digit";
  $("sureness").textContent = state === "done" ? sureness(answer) : "asking the model";
  $("facts").textContent = state === "done" ? facts(answer) : "";
  mark();
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
const verdict = (answer) => (answer.known ? answer.className : "not sure");
const sureness = (answer) =>
  answer.known ? percent(answer.confidence) : `perhaps ${answer.className}`;
const facts = (answer) => `v${answer.version} · ${answer.milliseconds.toFixed(0)} ms`;

function sentence(entry) {
  if (entry.state === "failed") return `${entry.name}: ${entry.reason}`;
  const { answer } = entry;
  return `${entry.name}: ${verdict(answer)}, ${sureness(answer)}. ${facts(answer)}.`;
}

/** One bar for each class, in their order; the most probable ones where classes are many. */
function bars({ classId, className, classes, probabilities }) {
  let ids = [...probabilities.keys()];
  if (ids.length > MOST_BARS) {
    ids = ids.sort((a, b) => probabilities[b] - probabilities[a]).slice(0, MOST_BARS);
  }
  return ids.map((id) => {
    const row = copy("bar");
    row.classList.toggle("top", id === classId);
    // A model that was exported by an earlier release tells one name alone: the answer's.
    row.querySelector(".name").textContent = classes?.[id] ?? (id === classId ? className : id);
    row.querySelector(".fill").style.setProperty("--share", probabilities[id]);
    row.querySelector(".share").textContent = percent(probabilities[id]);
    return row;
  });
}

function list(entry) {
  entry.item = copy("entry");
  entry.item.querySelector("button").addEventListener("click", () => show(entry));
  $("history").prepend(entry.item);
  $("earlier").hidden = false;
}

/** Brings the list of pictures up to date. */
function mark() {
  for (const entry of entries) {
    const button = entry.item.querySelector("button");
    const image = button.querySelector("img");
    const { state, answer } = entry;
    if (entry.url && !image.src) image.src = entry.url;
    image.hidden = !entry.url;
    button.querySelector(".class").textContent =
      state === "done" ? verdict(answer) : state === "failed" ? "failed" : "…";
    button.querySelector(".name").textContent = entry.name;
    button.setAttribute("aria-pressed", entry === shown);
  }
}

function problem(reason) {
  const entry = { name: "", state: "failed", reason, hopeless: true };
  show(entry);
  tell(reason);
}

/** Says it to a screen reader. */
function tell(text) {
  $("told").textContent = text;
}

const copy = (id) => $(id).content.firstElementChild.cloneNode(true);

// --- The server ----------------------------------------------------------------------------------

const TROUBLE = {
  0: "the server does not answer",
  401: "the server asks for a token",
  404: "no such model",
};

const newest = ({ version, ready }) =>
  `v${version}` + (ready > 1 ? `, the newest of ${ready}` : "");

async function look() {
  if (document.hidden) return;
  const place = $("server");
  let state, text;
  try {
    const seen = await status();
    const loading = seen.state === "START" || seen.state === "LOADING";
    state = seen.version ? "ready" : loading ? "waiting" : "failed";
    text = seen.version ? newest(seen) : loading ? "loading …" : "no version is ready";
  } catch (error) {
    state = "failed";
    text = TROUBLE[error.code] ?? `the server refuses (${error.code})`;
  }
  // Only what changed is written: a screen reader says it each time.
  if (place.textContent !== text) place.textContent = text;
  place.dataset.state = state;
}

look();
setInterval(look, STATUS_EVERY_MS);
document.addEventListener("visibilitychange", look);
