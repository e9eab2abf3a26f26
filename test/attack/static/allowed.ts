/** What the static suite lets pass, each with its reason: test values that look like secrets, licences of what is shipped. */

/** Test values: the text begins so, in files of that name alone. */
export const KNOWN_VALUES: { begins: string; files: RegExp; why: string }[] = [
  {
    begins: "AKIAIOSFODNN7EXAMPLE",
    files: /^(test|shared\/protocol\/schema)\//,
    why: "the example of AWS's own manual",
  },
  { begins: "AKIAWILDCARDEXAMPLE1", files: /^test\//, why: "made up for a worker's filter" },
  { begins: "postgresql://USER:PASSWORD@", files: /import/, why: "a form, in a message of import-original" },
  {
    begins: "postgresql://someone:50%off@",
    files: /^test\/coordinator\/import\//,
    why: "a password that has to be quoted",
  },
  { begins: "https://me:secret@", files: /^test\/shared\/config\//, why: "a URL that is refused" },
  { begins: "http://me:word@", files: /^test\/shared\/runtime\//, why: "a password that no log may tell" },
  { begins: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", files: /^test\//, why: "the accept key of RFC 6455 §1.3" },
  { begins: "f3b1c2d4e5f60718", files: /^test\/shared\/runtime\//, why: "a secret that is a good one" },
  ...["MzQ3NzU1Njhj", "M2M5YTkyM2Y0", "YTU3M2Y4Nzlm", "MGNkN2Q1NmY5"].map((begins) => ({
    begins,
    files: /^test\/fixtures\/permit\.json$/,
    why: "a vector of the original's permit, of a secret in the same file",
  })),
  ...[
    "8sNf2KxQe7TgVw0r",
    "tR6yBq1WoEz4XkPn",
    "M9hZpT3cVdW5nRxK",
    "Zk4WqB8yUe1LrXv6",
    "c5PxVm2NhYt9KsQe",
    "H7uTf1DzKo5XyVb8",
  ].map((begins) => ({
    begins,
    files: /^test\/(fixtures|shared)\/config\//,
    why: "typed by hand for the files of an installation that there is not",
  })),
];

/** Lines that hold checksums, which are random too and no secrets. */
export const CHECKSUMS: { files: RegExp; form: RegExp }[] = [
  { files: /^bun\.lock$/, form: /"sha512-[A-Za-z0-9+/]{86}=="/g },
  { files: /^test\/(fixtures|support)\/apps\//, form: /\bsha256:[0-9a-f]{64}\b/g },
];

/** Licences that what runs may have: all permit use, change and passing on, closed or open, for the keeping of their notice. */
export const PERMISSIVE: Record<string, string> = {
  MIT: "asks for its notice alone",
  ISC: "as MIT, in fewer words",
  "BSD-2-Clause": "as MIT",
  "BSD-3-Clause": "as MIT; its authors' names do not advertise for us",
  "Apache-2.0": "as MIT, with a grant of patents; changes are to be marked",
};
