// The model server's REST API, as TF Serving has it, and nothing else.
//
//   status()        -> {version, ready, state, reason}   GET  v1/models/{model}
//   classify(image) -> answer                            POST v1/models/{model}/versions/{n}:predict

const NAME = document.querySelector("meta[name=model]").content;
const MODEL = `v1/models/${encodeURIComponent(NAME)}`;
const STATUS_TIMEOUT_MS = 5_000;
const PREDICT_TIMEOUT_MS = 60_000;
const AWAY = "The server does not answer. Is it still running?";

/** A request without an answer; the message says why, in words. `code` is HTTP's, 0 without. */
export class ModelError extends Error {
  constructor(message, code = 0) {
    super(message);
    this.code = code;
  }
}

/**
 * The version that answers a request that names none: the newest that is available.
 *
 * @returns {Promise<{version: ?string, ready: number, state: string, reason: string}>} `version` is
 *     null unless `state` is "AVAILABLE"; `ready` is how many versions are; `reason` is why one
 *     failed, or empty.
 * @throws {ModelError} the server does not answer, or does not have the model.
 */
export async function status() {
  const { model_version_status: versions } = await ask(MODEL, STATUS_TIMEOUT_MS);
  const ready = versions.filter((one) => one.state === "AVAILABLE");
  // As whole numbers: a version may be larger than what a double holds.
  const newest = (ready.length ? ready : versions).reduce((a, b) =>
    BigInt(b.version) > BigInt(a.version) ? b : a,
  );
  return {
    version: ready.length ? newest.version : null,
    ready: ready.length,
    state: newest.state,
    reason: newest.status?.error_message ?? "",
  };
}

/**
 * Asks what is in a picture.
 *
 * @param {Blob} image a JPEG or PNG.
 * @returns {Promise<{version: string, milliseconds: number, classId: number, className: string,
 *     probabilities: number[], classes: ?string[], confidence: number, known: boolean}>}
 *     `milliseconds` is from sending the request to having its answer; `classes` are the names of
 *     all classes, if the model tells them. One that does not tell how sure it is counts as sure.
 * @throws {ModelError}
 */
export async function classify(image) {
  const body = JSON.stringify({
    signature_name: "serve_images",
    instances: [{ image_bytes: { b64: await base64(image) } }],
  });
  try {
    return await predict(body);
  } catch (error) {
    if (error.code !== 404) throw error;
    return predict(body); // a newer version has taken the place of the one we asked
  }
}

/**
 * A picture that lies beside the page.
 *
 * @param {string} url
 * @returns {Promise<Blob>}
 * @throws {ModelError} the server does not give it.
 */
export async function example(url) {
  try {
    const response = await fetch(url);
    if (response.ok) return await response.blob();
    throw new ModelError(explain(response.status), response.status);
  } catch (error) {
    throw error instanceof ModelError ? error : new ModelError(AWAY);
  }
}

async function predict(body) {
  // The answer does not say which version gave it, so the version is asked by its number.
  const { version, state, reason } = await status();
  if (version === null) throw new ModelError(unavailable(state, reason), 503);
  const begun = performance.now();
  const answer = await ask(`${MODEL}/versions/${version}:predict`, PREDICT_TIMEOUT_MS, body);
  const milliseconds = performance.now() - begun;
  const first = answer.predictions?.[0];
  if (!Array.isArray(first?.probabilities)) {
    throw new ModelError("The model answered, but not with the probabilities of classes.");
  }
  return {
    version,
    milliseconds,
    classId: first.class_id,
    className: first.class_name,
    probabilities: first.probabilities,
    classes: first.classes,
    confidence: first.confidence ?? first.probabilities[first.class_id],
    known: first.known !== false,
  };
}

async function ask(path, timeout, body) {
  let response, text;
  try {
    const method = body === undefined ? "GET" : "POST";
    response = await fetch(path, { method, body, signal: AbortSignal.timeout(timeout) });
    text = await response.text();
  } catch (error) {
    throw new ModelError(
      error.name === "TimeoutError"
        ? `The server did not answer within ${timeout / 1000} seconds.`
        : AWAY,
    );
  }
  let json = null;
  try {
    json = JSON.parse(text);
  } catch {
    if (response.ok) throw new ModelError("The server's answer cannot be read.");
  }
  if (!response.ok) throw new ModelError(explain(response.status, json?.error), response.status);
  return json;
}

/** What went wrong, by HTTP's code; `told` is the server's own message, where it gave one. */
function explain(code, told) {
  switch (code) {
    case 401:
      return "The server asks for a token: load the page again, and it asks you.";
    case 404:
      return `The server has no model “${NAME}” that is ready. It says: ${told ?? "not found"}`;
    case 413:
      return "The picture is too large for the server.";
    case 429:
    case 503:
      return "The server is busy. Try again in a moment.";
    case 504:
      return "The model did not answer in time. Try again in a moment.";
    default:
      return `The server refused the picture: ${told ?? `code ${code}`}`;
  }
}

function unavailable(state, reason) {
  if (state === "START" || state === "LOADING") {
    return "The model is still loading. Try again in a moment.";
  }
  return `No version of the model is ready${reason ? `: ${reason}` : "."}`;
}

async function base64(blob) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
  return url.slice(url.indexOf(",") + 1);
}
