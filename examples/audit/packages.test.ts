import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { listPackages, readPackage } from "./packages.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "stemma-packages-"));
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

/** Writes files below `root`; objects as JSON. */
async function tree(files: Record<string, string | object>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    const file = join(root, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, typeof content === "string" ? content : JSON.stringify(content));
  }
}

async function paths(dir: string): Promise<string[]> {
  return (await listPackages(dir)).map((one) => one.path);
}

describe("listing", () => {
  test("scopes and nested packages are listed, sorted by path; what is no package is not", async () => {
    await tree({
      "z/package.json": { name: "z", version: "1.0.0" },
      "@s/a/package.json": { name: "@s/a", version: "2.0.0" },
      "@s/a/node_modules/z/package.json": { name: "z", version: "0.9.0" },
      "@s/a/node_modules/@t/b/package.json": { name: "@t/b", version: "3.0.0" },
      "@s/a/test/fixture/package.json": { name: "fixture", version: "0.0.0" },
      ".bin/tool/package.json": { name: "tool", version: "1.0.0" },
      "empty/README.md": "# no package",
      ".package-lock.json": {},
    });
    expect(await listPackages(root)).toEqual([
      { name: "@s/a", version: "2.0.0", path: "@s/a" },
      { name: "@t/b", version: "3.0.0", path: "@s/a/node_modules/@t/b" },
      { name: "z", version: "0.9.0", path: "@s/a/node_modules/z" },
      { name: "z", version: "1.0.0", path: "z" },
    ]);
  });

  test("a broken package.json is listed under the name of its folder", async () => {
    await tree({
      "a/package.json": "{ not json",
      "@s/b/package.json": "[]",
      "c/node_modules/d/package.json": "7",
      "c/package.json": {},
    });
    expect(await listPackages(root)).toEqual([
      { name: "@s/b", version: "unknown", path: "@s/b" },
      { name: "a", version: "unknown", path: "a" },
      { name: "c", version: "unknown", path: "c" },
      { name: "d", version: "unknown", path: "c/node_modules/d" },
    ]);
  });

  test("a link out of the directory is not followed, nor a circle of links", async () => {
    await tree({
      "in/a/package.json": { name: "a", version: "1.0.0" },
      "out/b/package.json": { name: "b", version: "1.0.0" },
    });
    await symlink("../out/b", join(root, "in/c"), "dir");
    await symlink("..", join(root, "in/a/node_modules"), "dir");
    expect(await paths(join(root, "in"))).toEqual(["a"]);
  });

  test("a tree of links within the directory is listed in full, each place once", async () => {
    await tree({
      ".pnpm/a@1.0.0/node_modules/a/package.json": { name: "a", version: "1.0.0" },
      ".pnpm/b@1.0.0/node_modules/b/package.json": { name: "b", version: "1.0.0" },
    });
    await symlink(".pnpm/a@1.0.0/node_modules/a", join(root, "a"), "dir");
    await symlink("../../b@1.0.0/node_modules/b", join(root, ".pnpm/a@1.0.0/node_modules/b"), "dir");
    expect(await paths(root)).toEqual([".pnpm/a@1.0.0/node_modules/a", ".pnpm/b@1.0.0/node_modules/b"]);
  });

  test("a directory that is not there is an error that names it", async () => {
    await expect(listPackages(join(root, "nowhere"))).rejects.toThrow(/nowhere/);
  });

  test("the packages of this repository are found, each with name and version", async () => {
    const own = await listPackages(fileURLToPath(new URL("../../node_modules", import.meta.url)));
    expect(own.length).toBeGreaterThan(100);
    expect(own.filter((one) => one.version === "unknown")).toEqual([]);
    expect(own.map((one) => one.name)).toEqual(expect.arrayContaining(["zod", "vitest", "@standard-schema/spec"]));
  });
});

describe("reading", () => {
  test("fields and texts are read; several licence files are one text", async () => {
    await tree({
      "p/package.json": { name: "p", version: "1.2.3", license: "(MIT OR Apache-2.0)", description: "does p" },
      "p/LICENSE-MIT": "one",
      "p/LICENSE-APACHE": "two",
      "p/readme.md": "# p",
    });
    expect(await readPackage(root, "p")).toEqual({
      name: "p",
      version: "1.2.3",
      path: "p",
      description: "does p",
      licenceField: "(MIT OR Apache-2.0)",
      licenceText: "two\n\none",
      licenceFiles: ["LICENSE-APACHE", "LICENSE-MIT"],
      readme: "# p",
    });
  });

  test.each([
    [{ license: { type: "MIT", url: "x" } }, "MIT"],
    [{ licenses: [{ type: "MIT" }, { type: "GPL-2.0" }] }, "MIT OR GPL-2.0"],
    [{ licence: "ISC" }, "ISC"],
    [{ license: 7 }, null],
    [{ license: "" }, null],
    [{}, null],
  ])("the licence field of %j is %j", async (manifest, field) => {
    await tree({ "p/package.json": manifest });
    expect((await readPackage(root, "p")).licenceField).toBe(field);
  });

  test("missing files are empty texts", async () => {
    await tree({ "p/package.json": "{ broken" });
    expect(await readPackage(root, "p")).toMatchObject({
      version: "unknown",
      licenceField: null,
      licenceText: "",
      readme: "",
    });
  });

  test("texts are cut at their bound, never within a character", async () => {
    await tree({ "p/package.json": {}, "p/README.md": "a" + "€".repeat(100_000), "p/LICENSE": "x".repeat(500_000) });
    const { readme, licenceText } = await readPackage(root, "p");
    expect(Buffer.byteLength(readme)).toBeLessThanOrEqual(32 * 1024);
    expect(readme).toMatch(/^a€+$/);
    expect(licenceText).toHaveLength(64 * 1024);
  });

  test("what is sent for a package stays below 1 MiB, however hostile its texts are", async () => {
    const worst = "\u0001".repeat(500_000);
    await tree({
      "p/package.json": { license: worst },
      "p/README.md": worst,
      "p/LICENSE": worst,
      "p/LICENSE-2": worst,
    });
    expect(Buffer.byteLength(JSON.stringify(await readPackage(root, "p")))).toBeLessThan(1024 * 1024);
  });

  test("halves of characters in package.json do not get through", async () => {
    await tree({ "p/package.json": '{"name":"p","version":"\\ud800"}' });
    expect((await readPackage(root, "p")).version.isWellFormed()).toBe(true);
  });

  test("a file that is a link out of the directory is not read", async () => {
    await tree({ "secret.txt": "secret", "in/p/package.json": {} });
    await symlink(join(root, "secret.txt"), join(root, "in/p/README.md"));
    await symlink("../../secret.txt", join(root, "in/p/LICENSE"));
    expect(await readPackage(join(root, "in"), "p")).toMatchObject({ readme: "", licenceText: "" });
  });

  test("a path out of the directory is refused", async () => {
    await tree({ "out/package.json": {}, "in/p/package.json": {} });
    await expect(readPackage(join(root, "in"), "../out")).rejects.toThrow(/leads out/);
    await expect(readPackage(join(root, "in"), "")).rejects.toThrow(/leads out/);
  });

  test("a folder in the place of a file is an empty text", async () => {
    await tree({ "p/package.json": {}, "p/README.md/x": "x" });
    expect((await readPackage(root, "p")).readme).toBe("");
  });
});
