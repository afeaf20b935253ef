import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { CLI_DOCS, cliDocs } from "../../scripts/cli-docs.ts";

test("docs/cli.md is what the declarations say ('npx bun scripts/cli-docs.ts' renews it)", () => {
  expect(readFileSync(CLI_DOCS, "utf8")).toBe(cliDocs());
});
