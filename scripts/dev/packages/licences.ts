/** What installed packages say of their licences, in their own package.json. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isRecord } from "../../../shared/values.ts";
import { installedAt, type Package } from "./lockfile.ts";

/** The licence as the package names it, an SPDX identifier or expression; null where it names none, or is not installed. */
export function licenceOf(root: string, one: Pick<Package, "key">): string | null {
  const file = join(root, "node_modules", installedAt(one), "package.json");
  if (!existsSync(file)) return null;
  const manifest: unknown = JSON.parse(readFileSync(file, "utf8"));
  return isRecord(manifest) ? textOf(manifest["license"] ?? manifest["licenses"]) : null;
}

// --- internal ---

/** Older packages have an object, or a list of them. */
function textOf(licence: unknown): string | null {
  if (typeof licence === "string") return licence;
  if (Array.isArray(licence)) return licence.map(textOf).join(" OR ") || null;
  return isRecord(licence) && typeof licence["type"] === "string" ? licence["type"] : null;
}
