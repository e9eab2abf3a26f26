/**
 * Web app manifests that a page asks for without cookies, as browsers do unless the page says `use-credentials` (Gradio, marimo
 * and Prefect do not): a refusal would be two errors in the person's console at each load. Pure.
 */
import type { Answer } from "../../shared/http/page.ts";
import type { AdmitSettings } from "./authorize.ts";
import type { RequestHead } from "../seam/engine.ts";
import { showsPermit } from "./held-permit.ts";
import type { Entry } from "../circuits/table.ts";

/** A page of the circuit's own asks for its manifest, and no permit comes along. Forms with a permit go their usual way. */
export function isBareManifest(head: RequestHead, { circuit }: Entry, { secure }: AdmitSettings): boolean {
  if (head.header("sec-fetch-dest") !== "manifest" || head.header("sec-fetch-site") !== "same-origin") return false;
  if (head.method !== "GET" || circuit.open_to_public || circuit.app_mode === "inference") return false;
  return !showsPermit(circuit, head.header("cookie"), secure);
}

/**
 * A manifest that says nothing of the app. Measured with Chromium 156: 401, 404, 204, an empty body and `{}` are errors in the
 * console ("Syntax error" for the last three), any other object is none.
 */
export function manifestAnswer(): Answer {
  return {
    status: 200,
    headers: [
      ["Content-Type", "application/manifest+json"],
      ["Cache-Control", "no-store"],
      ["X-Content-Type-Options", "nosniff"],
    ],
    body: '{"display":"browser"}',
  };
}
