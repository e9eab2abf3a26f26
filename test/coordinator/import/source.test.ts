/** The URL of the original's database, as people have it in their files. */
import { expect, test } from "bun:test";
import { readOriginal, shownUrl } from "../../../coordinator/import/source.ts";
import { reason } from "../../../shared/failure.ts";

test.each(["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg2"])(
  "%s:// is PostgreSQL's, also with SQLAlchemy's name of a driver",
  async (scheme) => {
    const url = `${scheme}://someone:a-pass-word@127.0.0.1:1/x`;
    expect(shownUrl(url)).toMatch(/^postgres(ql)?:\/\/someone@127.0.0.1:1\/x$/);
    expect(await readOriginal(url).catch(reason)).toMatch(/^Cannot read the original's database at postgres/);
  },
);

test("a password with a bare % is told how to be written, and not shown", async () => {
  const told = await readOriginal("postgresql://someone:50%off@127.0.0.1:1/x").catch(reason);
  expect(told).toBe("--from: wanted a percent sign in user or password as %25");
});
