/** A request as its parts, which mutations change one by one, and the bytes that they make. One character is one byte. */

export interface Chunk {
  /** The line before the data, with its line end. */
  line: string;
  data: string;
  /** Behind the data. */
  end: string;
}

export interface ChunkedBody {
  kind: "chunked";
  chunks: Chunk[];
  /** The last chunk's line. */
  last: string;
  trailers: string[];
}

export type DraftBody = { kind: "none" } | { kind: "length"; text: string } | ChunkedBody;

export interface Draft {
  method: string;
  target: string;
  version: string;
  /** Lines without their ends. */
  fields: string[];
  body: DraftBody;
}

export function chunkOf(data: string, extension = ""): Chunk {
  return { line: `${data.length.toString(16)}${extension}\r\n`, data, end: "\r\n" };
}

/** The bytes of a draft. */
export function written({ method, target, version, fields, body }: Draft): string {
  return `${method} ${target} ${version}\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n${bodyOf(body)}`;
}

/** The bytes of a body. */
export function bodyOf(body: DraftBody): string {
  switch (body.kind) {
    case "none":
      return "";
    case "length":
      return body.text;
    case "chunked": {
      const chunks = body.chunks.map(({ line, data, end }) => line + data + end).join("");
      return `${chunks}${body.last}${body.trailers.map((line) => `${line}\r\n`).join("")}\r\n`;
    }
  }
}
