/** Transfer-Encoding in all its spellings, beside a length and without (RFC 9112 §6.1, §6.3). */
import { also, deviating, get, HIDDEN, passed, post, refused, hungUp, type RequestRow } from "../row.ts";

const TE = "RFC 9112 §6.1";
const CHUNKS = "5\r\nhello\r\n0\r\n\r\n";

/** No coding that is known here, or not chunked last, or not once. Each beside nothing. */
const WRONG: [name: string, value: string][] = [
  ["gzip before chunked", "gzip, chunked"],
  ["gzip alone", "gzip"],
  ["chunked before gzip", "chunked, gzip"],
  ["chunked twice", "chunked, chunked"],
  ["identity", "identity"],
  ["identity before chunked", "identity, chunked"],
  ["chunked before identity", "chunked, identity"],
  ["a letter before chunked", "xchunked"],
  ["a letter behind chunked", "chunkedx"],
  ["a part of chunked", "chunke"],
  ["chunked with a parameter", "chunked;q=1"],
  ["chunked with an empty parameter", "chunked;"],
  ["chunked in quotes", '"chunked"'],
  ["chunked in single quotes", "'chunked'"],
  ["a comma before chunked", ", chunked"],
  ["a comma behind chunked", "chunked,"],
  ["nothing", ""],
  ["a space within chunked", "chun ked"],
  ["a tab within chunked", "chun\tked"],
  ["a vertical tab before chunked", "\x0bchunked"],
  ["a form feed behind chunked", "chunked\x0c"],
  ["a NUL behind chunked", "chunked\0"],
  ["a no-break space before chunked", "\xa0chunked"],
  ["a next-line mark behind chunked", "chunked\x85"],
  ["the Kelvin sign for its k", "chun\xe2\x84\xaaed"],
  ["another coding", "cow"],
  ["trailers, which is of TE", "trailers, chunked"],
  ["a colon before chunked", ": chunked"],
  ["an equals sign before chunked", "=chunked"],
  ["a bracket around chunked", "[chunked]"],
  ["compress before chunked", "compress, chunked"],
  ["chunked percent-encoded", "%63hunked"],
];

/** Names that only a careless reader takes for it. Beside a length, which is the one that counts or is refused with it. */
const NAMES: [name: string, line: string, isField: boolean][] = [
  ["a space before its colon", "Transfer-Encoding : chunked", false],
  ["a tab before its colon", "Transfer-Encoding\t: chunked", false],
  ["a space before its name", " Transfer-Encoding: chunked", false],
  ["a space within its name", "Transfer Encoding: chunked", false],
  ["a NUL in its name", "Transfer\0-Encoding: chunked", false],
  ["a NUL before its name", "\0Transfer-Encoding: chunked", false],
  ["a byte above 127 in its name", "Transfer-Encod\xefng: chunked", false],
  ["a CR before its name", "\rTransfer-Encoding: chunked", false],
  ["behind a bare LF in a value", "X-A: a\nTransfer-Encoding: chunked", false],
  ["behind a bare CR in a value", "X-A: a\rTransfer-Encoding: chunked", false],
  ["behind a NUL in a value", "X-A: a\0Transfer-Encoding: chunked", false],
  ["on a folded line", "X-A: a\r\n Transfer-Encoding: chunked", false],
  ["its value on a folded line", "Transfer-Encoding:\r\n chunked", false],
  ["its name in two lines", "Transfer-\r\n Encoding: chunked", false],
  ["without a colon", "Transfer-Encoding chunked", false],
  ["brackets in its name", "Transfer{Encoding}: chunked", false],
  ["quotes around its name", '"Transfer-Encoding": chunked', false],
  ["a slash in its name", "Transfer/Encoding: chunked", false],
  ["an underscore for its dash", "Transfer_Encoding: chunked", true],
  ["a letter behind its name", "Transfer-Encodings: chunked", true],
  ["X- before its name", "X-Transfer-Encoding: chunked", true],
  ["its name twice", "Transfer-Encoding-Transfer-Encoding: chunked", true],
  ["a dot for its dash", "Transfer.Encoding: chunked", true],
];

/** A length beside it: RFC 9112 §6.1 lets it be refused, and so it is. */
const BESIDE: [name: string, lines: string][] = [
  ["the length first", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"],
  ["the length behind it", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"],
  ["a length of nought", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"],
  ["a length that is wrong", "Content-Length: x\r\nTransfer-Encoding: chunked\r\n"],
  ["its name in capitals", "Content-Length: 5\r\nTRANSFER-ENCODING: chunked\r\n"],
  ["chunked in capitals", "Content-Length: 5\r\nTransfer-Encoding: CHUNKED\r\n"],
  ["no space before chunked", "Content-Length: 5\r\nTransfer-Encoding:chunked\r\n"],
  ["a tab before chunked", "Content-Length: 5\r\nTransfer-Encoding:\tchunked\r\n"],
  ["spaces behind chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked  \t\r\n"],
  ["identity", "Content-Length: 5\r\nTransfer-Encoding: identity\r\n"],
  ["an unknown coding", "Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n"],
  ["nothing", "Content-Length: 5\r\nTransfer-Encoding:\r\n"],
  ["two lines of it", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"],
  ["two lines of it, the other first", "Content-Length: 5\r\nTransfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n"],
  ["both named in Connection", "Connection: content-length, transfer-encoding\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"],
]; // prettier-ignore

export const CODINGS: RequestRow[] = [
  ...WRONG.map(([name, value]): RequestRow => ({
    name: `Transfer-Encoding: ${name}`,
    rfc: TE,
    bytes: post(`Transfer-Encoding: ${value}\r\n`, CHUNKS + HIDDEN),
    outcome: refused(),
    // An empty member of a list is no coding (RFC 9110 §5.6.1): neither reading lets anything through.
    ...(/^,|,$/.test(value) ? { serve: also("without a word", hungUp()) } : {}),
  })),
  ...NAMES.map(([name, line, isField]): RequestRow => ({
    name: `Transfer-Encoding with ${name}`,
    rfc: isField ? "RFC 9110 §5.1: another field" : "RFC 9112 §5, §5.1, §5.2",
    bytes: post(`Content-Length: 5\r\n${line}\r\n`, "0\r\n\r\n"),
    outcome: isField ? passed("POST /a 0\r\n\r\n") : refused(),
  })),
  ...BESIDE.map(([name, lines]): RequestRow => ({
    name: `Content-Length and Transfer-Encoding: ${name}`,
    rfc: "RFC 9112 §6.1, §6.3: 3",
    bytes: post(lines, `0\r\n\r\n${HIDDEN}`),
    outcome: refused(),
  })),
  {
    name: "Transfer-Encoding: two lines of chunked",
    rfc: `${TE}: chunked is applied once`,
    bytes: post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
    outcome: refused(),
  },
  {
    name: "Transfer-Encoding: chunked in HTTP/1.0",
    rfc: `${TE}: its framing is faulty`,
    bytes: `POST /a HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`,
    outcome: refused(),
  },
  {
    name: "Transfer-Encoding: identity in HTTP/1.0",
    rfc: TE,
    bytes: `POST /a HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\nTransfer-Encoding: identity\r\n\r\n${HIDDEN}`,
    outcome: refused(),
  },
  {
    name: "Transfer-Encoding beside a length in HTTP/1.0",
    rfc: TE,
    bytes: `POST /a HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    outcome: refused(),
  },
  {
    name: "Transfer-Encoding: chunked in mixed case",
    rfc: "RFC 9112 §7: names of codings are case-insensitive",
    bytes: post("tRANSFER-eNCODING: cHUNKED\r\n", CHUNKS),
    outcome: passed("POST /a hello"),
  },
  {
    name: "Transfer-Encoding: chunked with spaces around it",
    rfc: "RFC 9112 §5: OWS",
    bytes: post("Transfer-Encoding: \t chunked \t\r\n", CHUNKS),
    outcome: passed("POST /a hello"),
  },
  {
    name: "Transfer-Encoding: chunked of a GET, whose chunks are its body",
    rfc: "RFC 9110 §9.3.1",
    bytes: get("Transfer-Encoding: chunked\r\n") + CHUNKS,
    outcome: passed("GET /a hello"),
    serve: deviating("a GET with a body loses it", passed("GET /a")),
  },
  {
    name: "a request in a chunk is of the body",
    rfc: "RFC 9112 §7.1",
    bytes: post("Transfer-Encoding: chunked\r\n", `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`),
    outcome: passed(`POST /a ${HIDDEN}`),
  },
];
