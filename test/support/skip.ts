import { test } from "bun:test";

/** What a test may need that not every machine has. */
export type Need = "root" | { readonly tool: string };

export function hasTool(tool: string): boolean {
  return Bun.which(tool) !== null;
}

function missing(need: Need): string | undefined {
  if (need === "root") return process.getuid?.() === 0 ? undefined : "needs root";
  return hasTool(need.tool) ? undefined : `needs ${need.tool}`;
}

/** `test`, or a skipped one that says why when something that it needs is missing. */
export function testNeeding(...needs: readonly Need[]): typeof test {
  const reasons = needs.map(missing).filter((r) => r !== undefined);
  if (reasons.length === 0) return test;
  console.log(`skipped: ${reasons.join(", ")}`);
  return test.skip as typeof test;
}
