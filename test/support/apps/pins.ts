/**
 * Which real apps are tried, and in which versions: what `bun run apps` and `verify` install. The packages that PyPI's need
 * in turn are pinned in test/fixtures/apps/NAME.txt, as `pip freeze` writes them; code-server brings a lock file of its own.
 */

export type Pin =
  | { from: "pypi"; packages: readonly string[] }
  /** A version that runs on Node 20; `dependencies` have to be compiled. */
  | { from: "code-server"; version: string };

export const PINS = {
  jupyterlab: { from: "pypi", packages: ["jupyterlab==4.6.6"] },
  "code-server": { from: "code-server", version: "4.100.3" },
  streamlit: { from: "pypi", packages: ["streamlit==1.67.0"] },
  gradio: { from: "pypi", packages: ["gradio==6.31.0"] },
  marimo: { from: "pypi", packages: ["marimo==0.25.2"] },
  panel: { from: "pypi", packages: ["panel==1.9.4"] },
} as const satisfies Record<string, Pin>;

export type AppName = keyof typeof PINS;
