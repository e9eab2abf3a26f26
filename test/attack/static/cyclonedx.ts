/**
 * What CycloneDX 1.6 asks of a document, as far as ours has it: required fields, no others than these, kinds, forms, and references
 * that lead somewhere. After bom-1.6.schema.json of the specification; licences are those identifiers of spdx.schema.json that are
 * in use here.
 */
import { Type, type Static } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { PERMISSIVE } from "./allowed.ts";

const strict = { additionalProperties: false };
const text = Type.String();
/** `refType`. */
const Ref = Type.String({ minLength: 1 });
const Licence = Type.Object({ id: Type.Union(Object.keys(PERMISSIVE).map((id) => Type.Literal(id))) }, strict);
const Hash = Type.Object(
  {
    alg: Type.Union(["SHA-1", "SHA-256", "SHA-384", "SHA-512"].map((alg) => Type.Literal(alg))),
    content: Type.String({ pattern: "^([a-fA-F0-9]{40}|[a-fA-F0-9]{64}|[a-fA-F0-9]{96}|[a-fA-F0-9]{128})$" }),
  },
  strict,
);

const Component = Type.Object(
  {
    type: Type.Union([Type.Literal("library"), Type.Literal("application")]),
    name: text,
    "bom-ref": Ref,
    group: Type.Optional(text),
    version: Type.Optional(Type.String({ maxLength: 1024 })),
    description: Type.Optional(text),
    scope: Type.Optional(Type.Union(["required", "optional", "excluded"].map((scope) => Type.Literal(scope)))),
    hashes: Type.Optional(Type.Array(Hash)),
    licenses: Type.Optional(
      Type.Union([
        Type.Array(Type.Object({ license: Licence }, strict)),
        Type.Array(Type.Object({ expression: text }, strict), { minItems: 1, maxItems: 1 }),
      ]),
    ),
    purl: Type.Optional(Type.String({ pattern: "^pkg:npm/(%40[a-z0-9._-]+/)?[a-z0-9._-]+@[^@/]+$" })),
  },
  strict,
);

const Document = Type.Object(
  {
    $schema: Type.Literal("http://cyclonedx.org/schema/bom-1.6.schema.json"),
    bomFormat: Type.Literal("CycloneDX"),
    specVersion: Type.Literal("1.6"),
    serialNumber: Type.String({ pattern: "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" }),
    version: Type.Integer({ minimum: 1 }),
    metadata: Type.Object({ component: Component }, strict),
    components: Type.Array(Component, { uniqueItems: true }),
    dependencies: Type.Array(
      Type.Object({ ref: Ref, dependsOn: Type.Optional(Type.Array(Ref, { uniqueItems: true })) }, strict),
      { uniqueItems: true },
    ),
  },
  strict,
);

export type Bom = Static<typeof Document>;

const check = TypeCompiler.Compile(Document);

/** All that is wrong with a document; none for a good one. */
export function bomFaults(document: unknown): string[] {
  if (!check.Check(document))
    return [...check.Errors(document)].slice(0, 10).map(({ path, message }) => `${path}: ${message}`);
  const { metadata, components, dependencies } = document;
  const refs = [metadata.component, ...components].map((one) => one["bom-ref"]);
  const known = new Set(refs);
  const named = dependencies.flatMap(({ ref, dependsOn = [] }) => [ref, ...dependsOn]);
  return [
    // The specification, of bom-ref: unique within the document.
    ...refs.filter((ref, at) => refs.indexOf(ref) !== at).map((ref) => `${ref}: is there twice`),
    ...named.filter((ref) => !known.has(ref)).map((ref) => `${ref}: nothing has this name`),
  ];
}
