/** What a test knows of a call: a good request, what is so after it, and what is refused. Tables of these are beside. */
import { expect } from "bun:test";
import type { Static } from "@sinclair/typebox";
import { FAILURES } from "../../../shared/failure.ts";
import type { Answer } from "../../support/manager.ts";
import type { calls, Given, Input, Name, Stage } from "./stage.ts";

/**
 * Where a request is made. `usual`: a coordinator with a worker; `empty`: with none; `deaf`: with one that acknowledges
 * nothing; `full`: one whose sessions may have one circuit; `adrift`: one with a circuit, whose Redis has gone; `closed`: one that shows its figures to nobody here; `locked`:
 * one whose database another process has locked.
 */
export type Place = "usual" | "empty" | "deaf" | "full" | "adrift" | "closed" | "locked";

export interface Plan<N extends Name> {
  /** A good request, with everything that it needs made for it. */
  good: (stage: Stage) => Promise<Input<N>>;
  /** What its answer says, and what is so after it. */
  so: (answer: Static<(typeof calls)[N]["answer"]>, input: Input<N>, stage: Stage) => void | Promise<void>;
  /** What can be compared of two answers to the same request; null where the second is 404, for the thing is gone. */
  same?: ((answer: Static<(typeof calls)[N]["answer"]>) => unknown) | null;
  /** Requests that are refused, besides those that follow from the document (implied.ts). */
  refused?: Refused<N>[];
  /** Answers that are no problem documents. */
  others?: Example[];
}

interface Refused<N extends Name> {
  place?: Place;
  kind: keyof typeof FAILURES;
  /** What is wrong: "a port of 0". */
  what: string;
  msg: string | RegExp;
  /** The good request, spoilt. */
  spoil?: (good: Input<N>, stage: Stage) => Given | Promise<Given>;
  /** Instead of that, a request of its own. */
  ask?: (stage: Stage) => Given | Promise<Given>;
}

/** A request and its answer that is not 200. */
export interface Example {
  place: Place;
  status: number;
  what: string;
  ask: (stage: Stage) => Given | Promise<Given>;
  /** Instead of the secret. */
  headers?: () => Record<string, string> | Promise<Record<string, string>>;
  says: (answer: Answer) => void;
}

/** A plan as it is when its call's name is not known. */
export interface AnyPlan {
  good: (stage: Stage) => Promise<Given>;
  so: (answer: unknown, input: Given, stage: Stage) => void | Promise<void>;
  same?: ((answer: unknown) => unknown) | null;
  refused?: (Omit<Refused<Name>, "spoil"> & { spoil?: (good: Given, stage: Stage) => Given | Promise<Given> })[];
  others?: Example[];
}

/** The refused requests that a plan has of its own. */
export function examplesOf({ good, refused = [], others = [] }: AnyPlan): Example[] {
  return [
    ...refused.map(({ place = "usual", kind, what, msg, spoil, ask }): Example => ({
      place,
      what,
      status: FAILURES[kind].status,
      ask: async (stage) => (ask === undefined ? (spoil?.(await good(stage), stage) ?? good(stage)) : ask(stage)),
      says: (answer) => expectProblem(answer, kind, msg),
    })),
    ...others,
  ];
}

/** The answer is this problem, as the table of failures has it, and says this; of an object that is not there, its name. */
export function expectProblem(
  { status, headers, body }: Answer,
  kind: keyof typeof FAILURES,
  msg: string | RegExp,
): void {
  const { status: wanted, title, errorCode } = FAILURES[kind];
  const isMissing = kind === "object-not-found" && typeof msg === "string";
  const { data: _data, ...problem } = body;
  const said = isMissing ? {} : { msg: typeof msg === "string" ? msg : expect.stringMatching(msg) };
  expect({ status, ...problem } as object).toEqual({
    status: wanted,
    type: `https://api.backend.ai/probs/${kind}`,
    title: isMissing ? title.replace("{object}", msg) : title,
    error_code: errorCode,
    ...said,
  });
  expect(headers.get("content-type")).toBe("application/problem+json");
}

/** The id of nothing. */
export const NOBODY = "00000000-0000-4000-8000-000000000001";
