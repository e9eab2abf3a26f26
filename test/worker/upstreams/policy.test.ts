/** The choice among routes: shares, rotation, open requests. */
import { describe, expect, test } from "bun:test";
import { choose, type RoutePolicy, type Weighed } from "../../../worker/upstreams/policy.ts";

interface Named extends Weighed {
  name: string;
  open: number;
}

const upstream = (name: string, weight = 1, open = 0): Named => ({ name, weight, open, credit: 0 });
const never = () => {
  throw new Error("no ticket is wanted");
};

/** The names that so many choices in a row give. */
function chosen(upstreams: Named[], policy: RoutePolicy, count: number, random: () => number = never): string {
  return Array.from({ length: count }, () => choose(upstreams, policy, random)?.name ?? "-").join("");
}

describe.each(["round_robin", "least_outstanding", "random"] as const)("by %s", (policy) => {
  test("none gives none, one gives that one", () => {
    expect(chosen([], policy, 1)).toBe("-");
    expect(chosen([upstream("a")], policy, 3)).toBe("aaa");
  });
});

describe("round_robin", () => {
  test("goes in turn among equals", () => {
    expect(chosen([upstream("a"), upstream("b"), upstream("c")], "round_robin", 7)).toBe("abcabca");
  });

  test("mixes by weight, so that the heavy one's turns are apart", () => {
    expect(chosen([upstream("a", 5), upstream("b", 1), upstream("c", 1)], "round_robin", 14)).toBe("aabacaaaabacaa");
  });

  test("takes weights below 1, and takes no notice of open requests", () => {
    expect(chosen([upstream("a", 0.25, 9), upstream("b", 0.75)], "round_robin", 8)).toBe("babbbabb");
  });
});

describe("random", () => {
  const upstreams = [upstream("a", 1), upstream("b", 2), upstream("c", 1)];
  test.each([
    [0, "a"],
    [0.2499, "a"],
    [0.25, "b"],
    [0.7499, "b"],
    [0.75, "c"],
    [0.9999, "c"],
    // Rounding must not lead past the last.
    [1, "c"],
  ])("the ticket %p belongs to %s", (ticket, name) => {
    expect(chosen(upstreams, "random", 1, () => ticket)).toBe(name);
  });
});

describe("least_outstanding", () => {
  test("takes the one with the fewest open requests", () => {
    expect(chosen([upstream("a", 1, 2), upstream("b", 1, 1), upstream("c", 1, 3)], "least_outstanding", 3)).toBe("bbb");
  });

  test("goes in turn among those with equally few", () => {
    expect(chosen([upstream("a", 1, 1), upstream("b", 1, 0), upstream("c", 1, 0)], "least_outstanding", 5)).toBe(
      "bcbcb",
    );
  });

  test("weighs open requests by weight", () => {
    const [light, heavy] = [upstream("a", 1), upstream("b", 3)];
    const names = Array.from({ length: 8 }, () => {
      const next = choose([light, heavy], "least_outstanding", never) ?? light;
      next.open++;
      return next.name;
    });
    expect(names.filter((name) => name === "b").length).toBe(6);
  });

  test("a rotation over changing ties keeps nobody waiting for ever", () => {
    const upstreams = [upstream("a"), upstream("b"), upstream("c")];
    const [first] = upstreams;
    for (let at = 0; at < 100; at++) {
      if (first !== undefined) first.open = at % 2;
      choose(upstreams, "least_outstanding", never);
    }
    if (first !== undefined) first.open = 0;
    expect(new Set(chosen(upstreams, "least_outstanding", 6))).toEqual(new Set(["a", "b", "c"]));
  });
});
