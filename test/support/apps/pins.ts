/**
 * Which real apps are tried, and in which versions: what `bun run apps` and `verify` install. All that PyPI's need is pinned in
 * test/fixtures/apps/NAME.txt, as `pip freeze` of Debian 12's Python 3.11.2 writes it: it comes first where npx is Debian's, and
 * some packages want a later 3.11. code-server brings a lock file of its own.
 */

export type Pin =
  | { from: "pypi" }
  /** From PyPI too, but for Python 2.7, which Debian 11 was the last to have. */
  | { from: "debian 11" }
  /** A version that runs on Node 20; `dependencies` have to be compiled. */
  | { from: "code-server"; version: string };

export const PINS = {
  jupyterlab: { from: "pypi" },
  "code-server": { from: "code-server", version: "4.100.3" },
  streamlit: { from: "pypi" },
  gradio: { from: "pypi" },
  marimo: { from: "pypi" },
  panel: { from: "pypi" },
  // What many apps of Python stand on, with the WebSockets that it takes by itself.
  uvicorn: { from: "pypi" },
  // Makes requests from an OpenAPI document.
  schemathesis: { from: "pypi" },
  // Autobahn's tests of WebSockets.
  wstest: { from: "debian 11" },
} as const satisfies Record<string, Pin>;

export type AppName = keyof typeof PINS;
