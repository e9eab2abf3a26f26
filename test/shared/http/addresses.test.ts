/** Address lists: what an entry may be, and which addresses a list lets in. */
import { describe, expect, test } from "bun:test";
import { addressMatcher, invalidEntries } from "../../../shared/http/addresses.ts";

describe("a list lets in", () => {
  test.each([
    ["10.1.2.3", "10.1.2.3", true],
    ["10.1.2.3", "10.1.2.4", false],
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["10.1.2.3/8", "10.9.9.9", true],
    ["0.0.0.0/0", "203.0.113.7", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["192.168.0.128/25", "192.168.0.128", true],
    ["192.168.0.128/25", "192.168.0.127", false],
    ["2001:db8::1", "2001:0DB8:0:0::1", true],
    ["2001:db8::/32", "2001:db8:ffff::9", true],
    ["2001:db8::/32", "2001:db9::", false],
    ["::/0", "2001:db8::1", true],
    ["::/0", "10.0.0.1", false],
    ["fe80::/10", "fe80::1%eth0", true],
  ])("%s: %s is %p", (list, address, expected) => {
    expect(addressMatcher(list)(address)).toBe(expected);
  });

  test.each([
    ["10.0.0.0/8", "::ffff:10.1.2.3", true],
    ["10.0.0.0/8", "::FFFF:10.1.2.3", true],
    ["10.0.0.0/8", "::ffff:a01:203", true],
    ["10.0.0.0/8", "::ffff:11.0.0.1", false],
    ["::ffff:10.1.2.3", "10.1.2.3", true],
    ["::ffff:10.0.0.0/104", "10.9.9.9", true],
    ["::ffff:10.0.0.0/104", "::ffff:11.0.0.1", false],
  ])("IPv4 and IPv4-mapped alike: %s, %s is %p", (list, address, expected) => {
    expect(addressMatcher(list)(address)).toBe(expected);
  });

  test("whoever is in any of its entries, with or without blanks around them", () => {
    const match = addressMatcher(" 10.0.0.1 ,192.168.0.0/16,, 2001:db8::/32 ");
    expect(["10.0.0.1", "192.168.5.5", "2001:db8::5", "10.0.0.2"].map(match)).toEqual([true, true, true, false]);
  });

  test("the same from an array", () => {
    const match = addressMatcher(["10.0.0.1", "2001:db8::/32"]);
    expect(["10.0.0.1", "2001:db8::5", "10.0.0.2"].map(match)).toEqual([true, true, false]);
  });

  test.each([[""], [","], [[]]])("nobody when it is empty: %p", (list) => {
    expect(addressMatcher(list)("127.0.0.1")).toBe(false);
  });

  test.each(["", "nonsense", "10.0.0.1:80", "10.0.0.256", "[::1]"])(
    "nobody whose address is unreadable: %p",
    (address) => {
      expect(addressMatcher("0.0.0.0/0,::/0")(address)).toBe(false);
    },
  );
});

const BAD = [
  "nonsense",
  "localhost",
  "*",
  "10.0.0",
  "10",
  "10.0.0.256",
  "10.0.0.1:80",
  "010.0.0.1",
  "10.0.0.0/33",
  "10.0.0.0/",
  "10.0.0.0/-1",
  "10.0.0.0/255.0.0.0",
  "10.0.0.0/8/8",
  "[::1]",
  "2001:db8::/129",
  "2001:db8:::1",
];

// Classful, octal and hexadecimal texts mean another range than the one that was meant: 10/8 would be 0.0.0.10/8.
const AMBIGUOUS = ["10/8", "192.168/16", "127.1/8", "010.0.0.0/8", "0x7f.0.0.1", "0x7f000001", "0x7f.0.0.0/8"];

describe("an invalid entry", () => {
  test.each([...BAD, ...AMBIGUOUS])("%p is named", (entry) => {
    expect(invalidEntries(`10.0.0.1,${entry},::1`)).toEqual([entry]);
  });

  test.each([...BAD, ...AMBIGUOUS])("%p makes the whole list deny", (entry) => {
    expect([
      addressMatcher(`127.0.0.1,${entry}`)("127.0.0.1"),
      addressMatcher(["127.0.0.1", entry])("127.0.0.1"),
    ]).toEqual([false, false]);
  });

  test("all of them are named, in order and without the blanks", () => {
    expect(invalidEntries("a, 10.0.0.1, b ,10.0.0.0/8,c")).toEqual(["a", "b", "c"]);
  });

  test("a good list and an empty one have none", () => {
    expect([invalidEntries("10.0.0.1, 10.0.0.0/8, ::1, 2001:db8::/32, ::ffff:1.2.3.4"), invalidEntries(" , ")]).toEqual(
      [[], []],
    );
  });
});
