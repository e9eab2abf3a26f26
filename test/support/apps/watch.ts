/**
 * What goes wrong in a page while an app is used: errors in the console, requests that fail, answers of 400 and more. Each
 * is told in a form that is the same whether the app is reached directly or through a circuit, so that sets can be compared.
 */
import type { Page } from "playwright-core";

export interface Watch {
  /** What has been seen since the last call. */
  take(): string[];
}

/** Watches this page and those that it opens. */
export function watch(page: Page): Watch {
  const seen = new Set<string>();
  const note = (what: string) => void seen.add(same(what));
  const follow = (one: Page) => {
    one.on("console", (message) => {
      const text = message.text();
      if (message.type() === "error" && !text.includes(GIVEN_UP)) note(`console: ${text} at ${message.location().url}`);
    });
    one.on("pageerror", (error) => note(`page error: ${error.message}`));
    one.on("websocket", (socket) => {
      socket.on("socketerror", (error) => {
        if (!error.includes(GIVEN_UP)) note(`WebSocket ${socket.url()}: ${error}`);
      });
    });
  };
  follow(page);
  const context = page.context();
  context.on("page", follow);
  context.on("requestfailed", (request) => {
    const error = request.failure()?.errorText ?? "";
    // The page itself has given it up: it was left, or its element was removed.
    if (error !== "net::ERR_ABORTED") note(`${request.method()} ${request.url()}: ${error}`);
  });
  context.on("response", (response) => {
    if (response.status() >= 400) note(`${response.request().method()} ${response.url()}: ${response.status()}`);
  });
  return {
    take() {
      const taken = [...seen].toSorted();
      seen.clear();
      return taken;
    },
  };
}

// --- internal ---

/** The page itself has closed it, as it does when it is left at that moment. */
const GIVEN_UP = "closed before the connection is established";

/** Without hosts, queries, line numbers and ids, which differ from one visit to the next. */
function same(what: string): string {
  return what
    .replaceAll(/\b(?:https?|wss?):\/\/[^/\s"')]+/g, "")
    .replaceAll(/\?[^\s"')]*/g, "")
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{16,}\b|\d+/gi, "#")
    .slice(0, 400);
}
