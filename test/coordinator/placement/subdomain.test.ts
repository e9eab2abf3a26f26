/** From a wanted name to one DNS label. */
import { describe, expect, test } from "bun:test";
import { generatedLabel, toLabel, variantOf } from "../../../coordinator/placement/subdomain.ts";
import vectors from "../../fixtures/subdomain.json" with { type: "json" };

const hex = () => "0a1b2c3d";
const LABEL = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/;

/** Whether a browser can go there. */
const opens = (label: string | null) =>
  label !== null && LABEL.test(label) && URL.canParse(`http://${label}.apps.example/`);

describe("a wanted name", () => {
  test.each(vectors.exact.map(([wanted, label]) => [wanted ?? "", label ?? ""] as const))(
    "%p becomes %s",
    (wanted, label) => {
      expect(toLabel(wanted)).toBe(label);
    },
  );

  test.each(vectors.fallback.map((wanted) => [wanted]))("%p can't be one", (wanted) => {
    expect(toLabel(wanted)).toBeNull();
  });

  test.each(["---", "!!!", "  ", "🙂", "_"])("%p of which nothing is left can't be one", (wanted) => {
    expect(toLabel(wanted)).toBeNull();
  });

  test.each([
    ["a b\tc", "a-b-c"],
    ["a/b:c@d", "a-b-c-d"],
    ["xn--fake", "xn-fake"],
    ["a🙂b", "a-b"],
    ["-한글-", "xn--bj0bj06e"],
    ["한.글", "xn----ds6ei65h"],
    ["BÜCHER", "xn--bcher-kva"],
    [`${"a".repeat(62)}-b`, "a".repeat(62)],
  ])("%p is cleaned to %s", (wanted, label) => {
    expect(toLabel(wanted)).toBe(label);
  });

  test("is the same however its letters are composed", () => {
    expect(toLabel("b\u00fccher")).toBe(toLabel("bu\u0308cher"));
    expect(toLabel("\u1112\u1161\u11ab\u1100\u1173\u11af")).toBe("xn--bj0bj06e");
  });

  test.each(["한글".repeat(40), `${"a".repeat(80)}한글`, "é".repeat(100), "ß-".repeat(50), "가".repeat(1000)])(
    "that is long beyond ASCII is cut to a label that opens: %s",
    (wanted) => {
      expect(opens(toLabel(wanted))).toBe(true);
      expect(toLabel(wanted)).toStartWith(wanted.startsWith("a") ? "a" : "xn--");
    },
  );

  test.each(["a", "glm-5.2", "한글", "ไทย", "日本語", "العربية", "Ⅷ", "x".repeat(300)])(
    "%p becomes a label that opens",
    (wanted) => {
      expect(opens(toLabel(wanted))).toBe(true);
    },
  );
});

describe("without a wish", () => {
  test("the name is app- and eight digits", () => {
    expect(generatedLabel(hex)).toBe("app-0a1b2c3d");
  });
});

describe("a name that is taken", () => {
  test.each([
    ["glm", "glm-0a1b2c3d"],
    ["a".repeat(54), `${"a".repeat(54)}-0a1b2c3d`],
    ["a".repeat(55), `${"a".repeat(54)}-0a1b2c3d`],
    ["a".repeat(63), `${"a".repeat(54)}-0a1b2c3d`],
  ])("%s becomes %s", (label, variant) => {
    expect(variantOf(label, hex)).toBe(variant);
    expect(opens(variant)).toBe(true);
  });

  test.each(["한글", "glm-한글", "가".repeat(60)])("beyond ASCII becomes another one that opens: %s", (wanted) => {
    const variant = variantOf(toLabel(wanted) ?? "", hex);
    expect(variant.length).toBeLessThanOrEqual(63);
    expect(variant).not.toBe(toLabel(wanted) ?? "");
    expect(opens(variant)).toBe(true);
  });
});
