/**
 * What a page of one app tries against another app of the same person: each is the text of a function that is given an
 * address of the other app and gives what the page has learnt. All of them are kept from reaching the app.
 */

/** What a page learns of an answer: its type, its status, its text; or why it has none. */
export const FETCH = `async (url, init) => {
  try {
    const answer = await fetch(url, { credentials: "include", ...init });
    return [answer.type, answer.status, await answer.text()];
  } catch (error) {
    return String(error);
  }
}`;

export const WEBSOCKET = `(url) => new Promise((resolve) => {
  const socket = new WebSocket(url.replace("http", "ws"));
  socket.onmessage = ({ data }) => resolve(data);
  socket.onclose = ({ code }) => resolve(code);
})`;

/** An element that loads something: which of its events came, and what `read` finds then. */
const element = (tag: string, properties: string, read: string) => `(url) => new Promise((resolve) => {
  const one = document.createElement("${tag}");
  const told = (what) => () => resolve([what, ${read}]);
  Object.assign(one, { onload: told("load"), onloadedmetadata: told("load"), onerror: told("error") }, ${properties});
  document.body.append(one);
})`;

const STOLEN = "String(globalThis.stolen)";
const STYLED = `getComputedStyle(document.documentElement).getPropertyValue("--stolen")`;

/** Its answer is shown in a frame, which the page may not look into. */
const form = (enctype: string) => `(url) => new Promise((resolve) => {
  const frame = Object.assign(document.createElement("iframe"), { name: "into" + Math.random() });
  const one = Object.assign(document.createElement("form"), { method: "POST", action: url, enctype: "${enctype}", target: frame.name });
  one.append(Object.assign(document.createElement("input"), { name: "a", value: "1" }));
  document.body.append(frame, one);
  frame.onload = () => { frame.onload = () => resolve(frame.contentDocument === null ? "foreign" : frame.contentDocument.URL); one.submit(); };
  if (frame.contentDocument?.readyState === "complete") frame.onload();
})`;

const fetchWith = (init: object) => `(url) => (${FETCH})(url, ${JSON.stringify(init)})`;

const NOTHING = ["opaque", 0, ""];
const REFUSED = "TypeError: Failed to fetch";

/** By what is tried: the path, what the page does, what it learns. */
export const KEPT_OUT: [what: string, path: string, script: string, learns: unknown][] = [
  ["a fetch", "/", fetchWith({}), REFUSED],
  ["a fetch without an answer", "/", fetchWith({ mode: "no-cors" }), NOTHING],
  ["a fetch of what the browser's cache may have", "/", fetchWith({ mode: "no-cors", cache: "force-cache" }), NOTHING],
  ["a HEAD", "/", fetchWith({ method: "HEAD", mode: "no-cors" }), NOTHING],
  ["a POST", "/", fetchWith({ method: "POST", body: "{}" }), REFUSED],
  ["a POST without an answer", "/", fetchWith({ method: "POST", body: "{}", mode: "no-cors" }), NOTHING],
  ["a POST that outlives its page", "/", fetchWith({ method: "POST", body: "{}", mode: "no-cors", keepalive: true }), NOTHING], // prettier-ignore
  ["a POST without a referrer", "/", fetchWith({ method: "POST", body: "{}", mode: "no-cors", referrerPolicy: "no-referrer" }), NOTHING], // prettier-ignore
  ["a POST of JSON", "/", fetchWith({ method: "POST", body: "{}", headers: { "Content-Type": "application/json" } }), REFUSED], // prettier-ignore
  [
    "a beacon",
    "/",
    `(url) => new Promise((resolve) => {
    new PerformanceObserver((list) => list.getEntriesByName(url).length > 0 && resolve("over")).observe({ type: "resource" });
    navigator.sendBeacon(url, "{}");
  })`,
    "over",
  ],
  ["a PUT", "/", fetchWith({ method: "PUT" }), REFUSED],
  ["a DELETE", "/", fetchWith({ method: "DELETE" }), REFUSED],
  ["a GET that wants to be another method", "/", fetchWith({ headers: { "X-HTTP-Method-Override": "POST" } }), REFUSED],
  ["a form", "/", form("application/x-www-form-urlencoded"), "foreign"],
  ["a form of text", "/", form("text/plain"), "foreign"],
  ["a form with files", "/", form("multipart/form-data"), "foreign"],
  ["an image", "/image.svg", element("img", "{ src: url }", "one.naturalWidth"), ["error", 0]],
  ["an image without a referrer", "/image.svg", element("img", `{ referrerPolicy: "no-referrer", src: url }`, "one.naturalWidth"), ["error", 0]], // prettier-ignore
  ["a video", "/", element("video", "{ src: url }", "String(one.duration)"), ["error", "NaN"]],
  ["a script", "/plain.js", element("script", "{ src: url }", STOLEN), ["error", "undefined"]],
  ["a module", "/data.js", element("script", `{ type: "module", crossOrigin: "use-credentials", src: url }`, STOLEN), ["error", "undefined"]], // prettier-ignore
  ["an import", "/data.js", "(url) => import(url).then((all) => all.default, ({ name }) => name)", "TypeError"],
  ["a style sheet", "/style.css", element("link", `{ rel: "stylesheet", href: url }`, STYLED), ["error", ""]],
  ["a style sheet in a style sheet", "/style.css", element("style", "{ textContent: `@import '${url}';` }", STYLED), ["error", ""]], // prettier-ignore
  ["a link to be loaded soon", "/plain.js", element("link", `{ rel: "preload", as: "script", href: url }`, STOLEN), ["error", "undefined"]], // prettier-ignore
  [
    "events",
    "/events",
    `(url) => new Promise((resolve) => {
    const source = new EventSource(url, { withCredentials: true });
    source.onmessage = ({ data }) => resolve(data);
    source.onerror = () => { source.close(); resolve("error"); };
  })`,
    "error",
  ],
  [
    "an old request",
    "/",
    `(url) => new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.withCredentials = true;
    request.onloadend = () => resolve([request.status, request.responseText]);
    request.send();
  })`,
    [0, ""],
  ],
  ["a worker of its origin", "/plain.js", "(url) => { try { new Worker(url); return 'made'; } catch (error) { return error.name; } }", "SecurityError"], // prettier-ignore
  [
    "a script in a worker",
    "/plain.js",
    `(url) => new Promise((resolve) => {
    const text = "try { importScripts(" + JSON.stringify(url) + "); postMessage(self.stolen); } catch (error) { postMessage(error.name); }";
    new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" }))).onmessage = ({ data }) => resolve(data);
  })`,
    "NetworkError",
  ],
  ["a service worker of its origin", "/sw.js", "(url) => navigator.serviceWorker.register(url).then(() => 'registered', ({ name }) => name)", "SecurityError"], // prettier-ignore
  ["a service worker over it", "/", "(url) => navigator.serviceWorker.register('/sw.js', { scope: url }).then(() => 'registered', ({ name }) => name)", "SecurityError"], // prettier-ignore
  ["a WebSocket", "/socket", WEBSOCKET, 1006],
  ["a POST that its own server sends on", "/", `(url) => (${FETCH})("/?status=307&to=" + encodeURIComponent(url), { method: "POST", body: "{}", mode: "no-cors" })`, NOTHING], // prettier-ignore
  ["an image that its own server sends on", "/image.svg", `(url) => (${element("img", "{ src: url }", "one.naturalWidth")})("/?to=" + encodeURIComponent(url))`, ["error", 0]], // prettier-ignore
];

/** What of these would change something. Browsers that do not say how they ask still say from which origin. */
export const CHANGING = KEPT_OUT.filter(([what]) => /POST|PUT|DELETE|beacon|form|method|WebSocket/.test(what));

/** What a page finds in a window or frame of another origin; `found` is the text of an expression for it. */
const look = (found: string) => `[
  (one) => one.document, (one) => one.location.href, (one) => one.localStorage, (one) => one.name, (one) => one.history.length,
].map((read) => { try { return String(read(${found})); } catch (error) { return error.name; } })`;

/** A frame and a window that show the other app. */
export const FRAME = `(url) => new Promise((resolve) => {
  const frame = Object.assign(document.createElement("iframe"), { src: url });
  frame.onload = () => resolve([String(frame.contentDocument), ...${look("frame.contentWindow")}]);
  document.body.append(frame);
})`;
export const WINDOW = `(url) => { globalThis.opened = window.open(url); }`;
export const LOOK_INTO_WINDOW = `() => ${look("globalThis.opened")}`;
/** Of five things none, and of a frame its document neither. */
export const SEEN_NOTHING = Array.from({ length: 5 }, () => "SecurityError");
