import { CfsError, describeError, kindOf } from "../errors.ts";
import type { ImageReference } from "./reference.ts";
import type { ImageSource } from "./source.ts";

/**
 * Opens the first of several references whose manifest can be had: what a short name may mean. A single one is opened
 * without asking for anything.
 * @throws CfsError what was wrong with each
 */
export async function openFirst(
  references: readonly ImageReference[],
  open: (reference: ImageReference) => ImageSource,
): Promise<{ reference: ImageReference; source: ImageSource }> {
  const [only] = references;
  if (references.length === 1) return { reference: only!, source: open(only!) };
  const failures: unknown[] = [];
  for (const reference of references) {
    let source: ImageSource | undefined;
    try {
      source = open(reference);
      await source.manifest();
      return { reference, source };
    } catch (error) {
      source?.[Symbol.dispose]();
      if (!(error instanceof CfsError) || kindOf(error) === "Cancelled") throw error;
      failures.push(error);
    }
  }
  throw new CfsError(
    kindOf(failures.at(-1)) ?? "NotFound",
    `no image can be had: ${failures.map(describeError).join("; ")}`,
    { hint: "write the whole name, with the registry" },
  );
}
