/**
 * The packages as a bill of materials: CycloneDX 1.6 (ECMA-424), as JSON. The same packages give the same text, on every machine:
 * so it has no time, its serial number is made of what is in it, and of packages for certain systems, which others lack, no
 * licence is told. Pure.
 */
import type { Lockfile, Package } from "./lockfile.ts";

/** The product, as package.json has it. */
export interface Product {
  name: string;
  version: string;
  description: string;
}

/** The licence of an installed package, as it names it. */
export type LicenceOf = (one: Package) => string | null;

/** The document's text. */
export function bomText(lockfile: Lockfile, product: Product, licenceOf: LicenceOf): string {
  const { packages, direct } = lockfile;
  const refs = new Map(packages.map((one) => [one.key, refOf(one)]));
  const refsOf = (keys: readonly string[]) => [...new Set(keys.map((key) => refs.get(key) ?? key))].toSorted();
  const root = `${product.name}@${product.version}`;
  const content = {
    metadata: { component: { type: "application", "bom-ref": root, ...product } },
    // Two places may hold the same package.
    components: unique(packages.map((one) => component(one, licenceOf(one)))),
    dependencies: merged([
      { ref: root, dependsOn: refsOf(direct) },
      ...packages.map((one) => ({ ref: refOf(one), dependsOn: refsOf(one.needs) })),
    ]),
  };
  const serial = Bun.randomUUIDv5(JSON.stringify(content), SERIALS);
  const document = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${serial}`,
    version: 1,
    ...content,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

// --- internal ---

/** The namespace of the serial numbers, of no meaning. */
const SERIALS = "6f7a2c51-0f0e-4c7c-9d2a-6a1f4b0c9e11";

const ALGORITHMS: Record<string, string> = { sha1: "SHA-1", sha256: "SHA-256", sha384: "SHA-384", sha512: "SHA-512" };

interface Dependency {
  ref: string;
  dependsOn: string[];
}

type Component = ReturnType<typeof component>;

/** Where it is found at every package database; a folder of ours is in none. */
function purlOf({ name, version }: Package): string | null {
  // purl-spec, npm: the scope is the namespace, and its `@` is escaped.
  return version === null ? null : `pkg:npm/${name.replace(/^@/, "%40")}@${encodeURIComponent(version)}`;
}

function refOf(one: Package): string {
  return purlOf(one) ?? `${one.name}@file:${one.folder}`;
}

function component(one: Package, licence: string | null) {
  const [, scope, name = one.name] = /^(@[^/]+)\/(.+)$/.exec(one.name) ?? [];
  const purl = purlOf(one);
  return {
    type: "library",
    "bom-ref": refOf(one),
    ...(scope === undefined ? {} : { group: scope }),
    name,
    ...(one.version === null ? {} : { version: one.version }),
    ...(one.folder === null ? {} : { description: `A stand-in of this repository's own: ${one.folder}` }),
    // "Excluded": for tests and other purposes than running it.
    scope: one.isRuntime ? "required" : "excluded",
    ...(one.integrity === null ? {} : { hashes: [hashOf(one.integrity)] }),
    ...(licence === null || one.isForSomeSystems ? {} : { licenses: [licenceChoice(licence)] }),
    ...(purl === null ? {} : { purl }),
  };
}

function hashOf(integrity: string): { alg: string; content: string } {
  const [kind = "", digest = ""] = integrity.split("-");
  const alg = ALGORITHMS[kind];
  if (alg === undefined) throw new Error(`integrity: wanted one of ${Object.keys(ALGORITHMS).join(", ")}, got ${kind}`);
  return { alg, content: Buffer.from(digest, "base64").toString("hex") };
}

/** One identifier, or an expression of several (`MIT OR Apache-2.0`). */
function licenceChoice(licence: string): { license: { id: string } } | { expression: string } {
  return /\s/.test(licence) ? { expression: licence } : { license: { id: licence } };
}

function unique(components: Component[]): Component[] {
  const all = new Map<string, Component>();
  for (const one of components) {
    const before = all.get(one["bom-ref"]);
    if (before === undefined || before.scope !== "required") all.set(one["bom-ref"], one);
  }
  return [...all.values()].toSorted(byRef((one) => one["bom-ref"]));
}

function merged(dependencies: Dependency[]): Dependency[] {
  const all = new Map<string, Dependency>();
  for (const { ref, dependsOn } of dependencies)
    all.set(ref, { ref, dependsOn: [...new Set([...(all.get(ref)?.dependsOn ?? []), ...dependsOn])].toSorted() });
  return [...all.values()].toSorted(byRef(({ ref }) => ref));
}

/** By code units: the same order in every language. */
function byRef<T>(refIn: (one: T) => string): (a: T, b: T) => number {
  return (a, b) => (refIn(a) < refIn(b) ? -1 : Number(refIn(a) > refIn(b)));
}
