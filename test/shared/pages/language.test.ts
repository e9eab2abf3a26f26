/** Which of our languages a browser's `Accept-Language` likes best (RFC 9110 §12.5.4). */
import { describe, expect, test } from "bun:test";
import { languageOf, type Language } from "../../../shared/pages/language.ts";

const CASES: [string | null, Language][] = [
  [null, "en"],
  ["", "en"],
  ["ko", "ko"],
  ["ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"],
  ["en-US,en;q=0.9,ko;q=0.8", "en"],
  ["en;q=0.5, ko;q=0.8", "ko"],
  ["KO-kr", "ko"],
  ["fr-FR, de;q=0.9", "en"],
  ["fr, ko;q=0.3, *;q=0.1", "ko"],
  ["fr, *;q=0.5, ko;q=0.1", "en"],
  ["ko;q=0, en;q=0.1", "en"],
  ["ko;q=0", "en"],
  ["kok, kor", "en"],
  ["ko ; q=0.9 , en ; q=0.8", "ko"],
  ["ko-KR, en", "ko"],
  ["*, ko", "en"],
  ["ko;q=0.8, en;q=0.8", "ko"],
  // No such weight; read as more than the other, if anything.
  ["ko;q=2, en;q=0.1", "ko"],
  ["ko;q=nonsense", "en"],
  ["ko;q=nonsense, ko;q=0.1", "ko"],
  [`${"x,".repeat(100_000)}ko`, "en"],
];

describe("Accept-Language", () => {
  test.each(CASES)("%p is read in %p", (header, language) => {
    expect(languageOf(header)).toBe(language);
  });
});
