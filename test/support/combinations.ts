/** Every combination of values, one record each: for rules that hold in every case. */
export function combinations<T extends Record<string, readonly unknown[]>>(
  values: T,
): { [K in keyof T]: T[K][number] }[] {
  const all = Object.entries(values).reduce<Record<string, unknown>[]>(
    (some, [key, each]) => some.flatMap((one) => each.map((value) => ({ ...one, [key]: value }))),
    [{}],
  );
  return all as { [K in keyof T]: T[K][number] }[];
}
